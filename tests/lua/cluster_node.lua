-- Small machines for the tests of clusters: a PC with an e1000 whose rings Lua has set up, and a
-- program that only has to move the tail of the transmit ring and to look at descriptors.
local M = {}

local TX_RING, RX_RING, TX_BUFFER, RX_BUFFER = 0x200000, 0x201000, 0x210000, 0x220000
local RING = 32 -- descriptors of each ring
local CODE = 0x100020
local BAR = 0xfebc0000 -- of the card in slot 3

local E1000 = { CTRL = 0, MDIC = 0x20, RCTL = 0x100, TCTL = 0x400, RDBAL = 0x2800, RDLEN = 0x2808, RDT = 0x2818,
    TDBAL = 0x3800, TDLEN = 0x3808, TDT = 0x3818 }

local base_name = os.tmpname()
local files, count = {}, 0

--- A multiboot 1 image (specification 0.6.96, section 3.1) of 32-bit code, in a file. The guest sees
-- the file's name: the same code has the same.
local function image(code)
    if files[code] then
        return files[code]
    end
    local magic, flags, base = 0x1badb002, 1 << 16, CODE - 32
    count = count + 1
    local path = base_name .. "." .. count
    files[code] = path
    local file <close> = assert(io.open(path, "wb"))
    file:write(string.pack("<I4I4I4I4I4I4I4I4", magic, flags, -(magic + flags) & 0xffffffff, base,
        base, CODE + #code, 0, CODE), code)
    return path
end

local function config(vm, slot, register, value)
    vm.io:write(0xcf8, 4, 0x80000000 | slot << 11 | register)
    if value then
        vm.io:write(0xcfc, 4, value)
    end
    return vm.io:read(0xcfc, 4)
end

local function bar_of(vm)
    return config(vm, 3, 0x10) & 0xfffffff0
end

--- The bytes of the nth frame that node `index` sends.
function M.frame(index, n)
    return ("\xff"):rep(6) .. "\x52\x54\0\0\0" .. string.char(index) .. "\x88\xb5"
        .. string.pack("BB", index, n) .. ("."):rep(46)
end

local function set_up_card(vm, index)
    config(vm, 3, 4, 7) -- I/O, memory, bus master
    for n = 0, RING - 1 do
        local bytes = M.frame(index, n)
        vm.memory:write_bytes(TX_BUFFER + n * 256, bytes)
        vm.memory:write_bytes(TX_RING + n * 16,
            string.pack("<I8I2BBBBI2", TX_BUFFER + n * 256, #bytes, 0, 0xb, 0, 0, 0))
        vm.memory:write_bytes(RX_RING + n * 16, string.pack("<I8I8", RX_BUFFER + n * 2048, 0))
    end
    local function set(register, value)
        vm.memory:write(BAR + E1000[register], 4, value)
    end
    set("MDIC", 1 << 26 | 1 << 21 | 0x0140) -- PHY: 1000 Mb/s, no negotiation
    set("CTRL", 0x40) -- link up
    set("TDBAL", TX_RING)
    set("TDLEN", RING * 16)
    set("TCTL", 2)
    set("RDBAL", RX_RING)
    set("RDLEN", RING * 16)
    set("RDT", RING - 1)
    set("RCTL", 0x8002)
end

-- ---- pieces of programs ----

--- Send up to and without the nth frame.
function M.send(n)
    return "\xc7\x05" .. string.pack("<I4I4", BAR + E1000.TDT, n) -- mov [tdt], n
end

--- Wait until frame n (from 0) has come.
function M.await(n)
    return "\x80\x3d" .. string.pack("<I4", RX_RING + n * 16 + 12) .. "\0\x74\xf7" -- cmp; je
end

--- Take this many instructions, two or more.
function M.spend(n)
    return "\xb9" .. string.pack("<I4", n - 1) .. "\xe2\xfe" -- mov ecx; loop
end

--- End with exit status 2 * n + 1.
function M.exit(n)
    return "\xb0" .. string.char(n) .. "\xe6\xf4" -- mov al; out 0xf4
end

M.halt = "\xfa\xf4\xeb\xfd"  -- cli; hlt; jmp
M.spin = "\xeb\xfe"

--- The machine number `index` with this program.
function M.new(index, code, options)
    options = options or {}
    options.memory = options.memory or "8M"
    options.nic = options.nic or "wire"
    options.idle = options.idle or "warp"
    options.kernel = image(code)
    local vm = perilune.machine("pc", options)
    assert(bar_of(vm) == BAR, "the card is elsewhere")
    set_up_card(vm, index)
    return vm
end

--- At the end: the files of the programs.
function M.clean()
    os.remove(base_name)
    for _, path in pairs(files) do
        os.remove(path)
    end
end

return M
