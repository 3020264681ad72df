-- A temperature sensor as the LM75A (NXP data sheet, sections 7.4 to 7.7): four registers behind a
-- pointer byte, and an output that says whether it is too hot.
--
--   0  temperature, 16 bits, in 1/8 degree from bit 5 on
--   1  configuration: bit 0 shut down, bit 1 interrupt mode, bit 2 output active high
--   2  hysteresis, 16 bits, in 1/2 degree from bit 7 on
--   3  limit, the same
-- The property temperature, in thousandths of a degree Celsius, is what the world does to it.
local SHUT_DOWN, INTERRUPT_MODE, ACTIVE_HIGH <const> = 1, 2, 4

local function signed(value)
    return value < 0x8000 and value or value - 0x10000
end

local function drive(dev)
    local active_high = dev.configuration & ACTIVE_HIGH ~= 0
    dev:gpio("os", 0, dev.hot == active_high)
end

--- A conversion: the temperature in eighths of a degree, and what that does to the output. In
--- interrupt mode the output goes active once at each crossing, and reading any register ends it.
local function convert(dev)
    if dev.configuration & SHUT_DOWN ~= 0 then
        return
    end
    local eighths = dev.props.temperature * 8 // 1000
    dev.temperature = eighths << 5 & 0xffff
    local above, below = eighths << 5 >= signed(dev.limit), eighths << 5 < signed(dev.hysteresis)
    if dev.configuration & INTERRUPT_MODE == 0 then
        dev.hot = above or dev.hot and not below
    elseif above and not dev.tripped or below and dev.tripped then
        dev.tripped = above
        dev.hot = true
    end
    drive(dev)
end

local names <const> = { [0] = "temperature", "configuration", "hysteresis", "limit" }

return device.define {
    name = "edu-lm75",
    parent = "i2c-device",
    desc = "a temperature sensor, written in Lua",
    props = {
        temperature = { "i32", 25000, min = -55000, max = 125000, live = true,
            help = "in thousandths of a degree Celsius", changed = convert },
    },
    gpio_out = { os = 1 },
    state = {
        temperature = "u16", configuration = "u8",
        hysteresis = { "u16", reset = 75 << 8 }, limit = { "u16", reset = 80 << 8 },
        hot = "bool", tripped = "bool",
        pointer = "u8", count = "u8", -- bytes of this transfer so far
    },
    reset = convert,
    i2c = {
        start = function(dev)
            dev.count = 0
        end,
        send = function(dev, byte)
            local name, count = names[dev.pointer], dev.count
            dev.count = count + 1
            if count == 0 then
                dev.pointer = byte & 3
            elseif name == "configuration" then
                dev.configuration = byte
                convert(dev)
            elseif name ~= "temperature" and count < 3 then
                local shift = count == 1 and 8 or 0
                dev[name] = dev[name] & ~(0xff << shift) | byte << shift
                convert(dev)
            end
        end,
        receive = function(dev)
            local value, count = dev[names[dev.pointer]], dev.count
            dev.count = count + 1
            if dev.configuration & INTERRUPT_MODE ~= 0 then
                dev.hot = false
                drive(dev)
            end
            return names[dev.pointer] == "configuration" and value
                or count % 2 == 0 and value >> 8 or value & 0xff
        end,
    },
}
