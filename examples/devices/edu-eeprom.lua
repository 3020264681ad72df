-- A serial EEPROM of 256 bytes as the 24xx02 family (Microchip DS20001709, chapters 4 to 8): one
-- address byte, pages of 8 bytes that a write wraps in, and a write cycle after STOP in which it does
-- not acknowledge its address.
local SIZE <const>, PAGE <const> = 256, 8
local ERASED <const> = ("\xff"):rep(SIZE)

local function put(bytes, at, byte)
    return bytes:sub(1, at) .. string.char(byte) .. bytes:sub(at + 2)
end

--- A byte for the page that the next STOP writes.
local function latch(dev, byte)
    local at = dev.pointer % PAGE
    dev.page = put(dev.page, at, byte)
    dev.latched = dev.latched | 1 << at
    dev.pointer = dev.pointer - at + (at + 1) % PAGE
end

local function write_page(dev)
    local base, memory = dev.pointer - dev.pointer % PAGE, dev.memory
    for at = 0, PAGE - 1 do
        if dev.latched >> at & 1 == 1 then
            memory = put(memory, base + at, dev.page:byte(at + 1))
        end
    end
    dev.memory = memory
    dev:timer("cycle"):set(dev.props.write_cycle * 1000)
end

return device.define {
    name = "edu-eeprom",
    parent = "i2c-device",
    desc = "a serial EEPROM of 256 bytes, written in Lua",
    props = {
        file = { "string", "", help = "what it holds at first; the rest is erased (0xff)" },
        write_cycle = { "u32", 5000, help = "microseconds that a write takes" },
        write_protect = { "bool", false, live = true, help = "the level of its WP pin" },
    },
    state = {
        memory = { "bytes", SIZE, keep = true },
        page = { "bytes", PAGE }, latched = "u8", -- what STOP will write, a bit for each byte
        pointer = "u8",
        addressed = "bool", -- the next byte is data
    },
    timers = { cycle = function() end }, -- while it is set the chip is busy
    realize = function(dev)
        local image = ""
        if dev.props.file ~= "" then
            local file = assert(io.open(dev.props.file, "rb"))
            image = file:read(SIZE) or ""
            file:close()
        end
        dev.memory = image .. ERASED:sub(#image + 1)
    end,
    i2c = {
        start = function(dev, read)
            dev.addressed, dev.latched = read, 0
            return not dev:timer("cycle"):deadline()
        end,
        send = function(dev, byte)
            if dev.addressed then
                latch(dev, byte)
            else
                dev.pointer, dev.addressed = byte, true
            end
        end,
        receive = function(dev)
            local byte = dev.memory:byte(dev.pointer + 1)
            dev.pointer = dev.pointer + 1
            return byte
        end,
        stop = function(dev)
            if dev.latched ~= 0 and not dev.props.write_protect then
                write_page(dev)
            end
            dev.latched = 0
        end,
    },
}
