-- Two machines on one virtual clock: a wire between them, and a latency that is exact.
-- Run it: perilune examples/two_machines.lua
--
-- The machines are bare: one sends a frame by moving the tail of its card's transmit ring, the other
-- waits for it. Lua has set up the rings before. For two Linux guests see docs/cluster.md.
local CARD, RING, BUFFER, ENTRY = 0xfebc0000, 0x200000, 0x210000, 0x100020
local path = os.tmpname()

--- A PC with this 32-bit program, its card ready to send one frame and to receive seven.
local function node(program)
    local file = assert(io.open(path, "wb"))
    file:write(string.pack("<I4I4I4I4I4I4I4I4", 0x1badb002, 1 << 16, -(0x1badb002 + (1 << 16))
        & 0xffffffff, ENTRY - 32, ENTRY - 32, ENTRY + #program, 0, ENTRY), program)
    file:close()
    local vm = perilune.machine("pc", { memory = "8M", kernel = path, nic = "wire", idle = "warp" })
    vm.io:write(0xcf8, 4, 0x80001804) -- the card's command register
    vm.io:write(0xcfc, 4, 7)
    local frame = ("\xff"):rep(6) .. "\x52\x54\0\0\0\1\x88\xb5" .. "hello" .. ("\0"):rep(41)
    vm.memory:write_bytes(BUFFER, frame)
    vm.memory:write_bytes(RING, string.pack("<I8I2BBBBI2", BUFFER, #frame, 0, 0xb, 0, 0, 0))
    for n = 0, 7 do
        vm.memory:write(RING + 0x1000 + 16 * n, 8, BUFFER + 2048 * (n + 1))
    end
    for _, write in ipairs { { 0x20, 0x4200140 }, { 0, 0x40 }, { 0x3800, RING }, { 0x3808, 128 },
        { 0x400, 2 }, { 0x2800, RING + 0x1000 }, { 0x2808, 128 }, { 0x2818, 7 }, { 0x100, 0x8002 } } do
        vm.memory:write(CARD + write[1], 4, write[2])
    end
    vm:on("packet", { link = vm.net.net0.link }, function(bytes, from)
        print(("%9d ns: %s at %s"):format(vm.clock.virtual.now, bytes:match("hello"), from))
    end)
    return vm
end

local SEND = "\xc7\x05" .. string.pack("<I4I4", CARD + 0x3818, 1)              -- mov [tdt], 1
local AWAIT = "\x80\x3d" .. string.pack("<I4", RING + 0x100c) .. "\0\x74\xf7" -- cmp; je
local EXIT = "\xb0\x00\xe6\xf4"                                               -- out 0xf4, 0

local a = node(SEND .. AWAIT .. EXIT)
local b = node(AWAIT .. SEND .. EXIT)
local lab = perilune.cluster { a, b, latency = "250us" }
lab:link(a, b)
lab:run()
print(("both ended after %d quanta, at %d ns and %d ns"):format(lab.quanta, a.clock.virtual.now,
    b.clock.virtual.now))
lab:close()
a:close()
b:close()
os.remove(path)
