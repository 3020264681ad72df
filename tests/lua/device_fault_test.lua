-- Registers by name, hooks on them and on DMA, PCI functions that vanish: docs/hooks.md. On machines
-- without a cpu.
local check = require "check"

local equal, raises = check.equal, check.raises
local BAR <const> = 0xe0000000

--- A PC with the device `text` in slot 5, its BAR 0 at BAR. Returns vm, the device, and config(offset
--- [, value]).
local function board(text)
    local vm = perilune.machine("pc", { cpus = 0, memory = "16M", serial = "none", nic = "none",
        device = { text .. ",addr=05.0,id=dut" } })
    local function config(offset, value)
        vm.io:write(0xcf8, 4, 0x80000000 | 5 << 11 | offset & ~3)
        if value then
            vm.io:write(0xcfc, 4, value)
        end
        return vm.io:read(0xcfc, 4)
    end
    config(0x10, BAR)
    config(0x04, 7)
    return vm, vm:device("dut"), config
end

local function rd(vm, offset)
    return vm.memory:read(BAR + offset, 4)
end

local function wr(vm, offset, value)
    vm.memory:write(BAR + offset, 4, value)
end

check.case("registers of a device in C, without side effects", function()
    local vm, nic = board "e1000"
    local list = nic:registers()
    equal(list[1].name, "CTRL")
    equal(list[1].offset, 0)
    equal(list[1].width, 32)
    equal(list[1].window, "e1000-mmio")
    local ra
    for _, r in ipairs(list) do
        ra = r.name == "RA" and r or ra
    end
    equal(ra.count, 32)
    equal(nic:reg "STATUS", rd(vm, 8))
    wr(vm, 0xd0, 1 << 2) -- IMS: link status
    wr(vm, 0xc8, 1 << 2) -- ICS
    equal(nic:reg "ICR" & 4, 4)
    equal(nic:reg "ICR" & 4, 4, "looking clears nothing")
    equal(rd(vm, 0xc0) & 4, 4)
    equal(nic:reg "ICR", 0)
    equal(nic:reg "RA[1]", rd(vm, 0x5404))
    nic:set_reg("RA[3]", 0x12345678)
    equal(rd(vm, 0x540c), 0x12345678)
    raises("each read works its value out", nic.set_reg, nic, "STATUS", 0)
    raises('did you mean "STATUS"', nic.reg, nic, "STATSU")
    raises("32 elements", nic.reg, nic, "RA[32]")
    raises("1 element,", nic.reg, nic, "CTRL[1]")
    raises("write NAME or NAME[3]", nic.reg, nic, "RA[x]")
    raises("32 bits", nic.set_reg, nic, "RA[0]", 1 << 32)
    local bridge = vm:find { type = "PIIX3" }[1]
    raises("declares no table", bridge.registers, bridge)
    raises("declares no table", bridge.reg, bridge, "PIRQ")
    vm:close()
end)

check.case("registers of a device in Lua", function()
    local reads = 0
    local def = device.define {
        name = "lua-regs", mmio = { name = "lua-regs", size = 0x20 },
        registers = {
            { name = "HELD", offset = 0, reset = 7 },
            { name = "COMPUTED", offset = 4, pure = true, read = function(dev)
                return dev.regs.HELD * 2
            end },
            { name = "POPS", offset = 8, read = function(dev)
                reads = reads + 1
                dev.regs.POPS = dev.regs.POPS + 1
                return dev.regs.POPS
            end },
        },
    }
    local d
    local vm = perilune.machine(machine.define { name = "board", build = function(m)
        m.memory:map(0, m:ram("ram", "1M"))
        d = m:device(def, { addr = BAR })
    end }, { cpus = 0, memory = "1M", serial = "none" })
    equal(d:reg "HELD", 7)
    d:set_reg("HELD", 9)
    equal(rd(vm, 0), 9)
    equal(d:reg "COMPUTED", 18)
    equal(rd(vm, 8), 1)
    equal(d:reg "POPS", 1)
    equal(reads, 1)
    vm:close()
end)

check.case("hooks on registers by name follow the BAR", function()
    local vm, nic, config = board "e1000"
    local log = {}
    local w = vm:on("write", { device = nic, reg = "TIPG" }, function(offset, value, size)
        log[#log + 1] = ("%d %x %d"):format(offset, value, size)
        return value ~= 5 and value | 1
    end)
    local r = vm:on("read", { device = nic, reg = "STATUS" }, function(_, value)
        return value ~ 2
    end)
    local array = vm:on("write", { device = nic, reg = "MTA" }, function(offset)
        equal(offset, 0x1fc)
    end)
    local one = vm:on("write", { device = nic, reg = "MTA[1]" }, function() end)
    wr(vm, 0x410, 0x100)
    equal(rd(vm, 0x410), 0x101)
    wr(vm, 0x410, 5) -- dropped
    equal(nic:reg "TIPG", 0x101)
    equal(rd(vm, 8), nic:reg "STATUS" ~ 2)
    wr(vm, 0x53fc, 1)
    equal(array.hits, 1)
    equal(one.hits, 0)
    config(0x10, 0xd0000000)
    vm.memory:write(0xd0000410, 4, 0x200)
    equal(nic:reg "TIPG", 0x201)
    equal(w.hits, 3)
    equal(table.concat(log, ","), "0 100 4,0 5 4,0 200 4")
    w:remove()
    vm.memory:write(0xd0000410, 4, 0x200)
    equal(nic:reg "TIPG", 0x200)
    equal(r.hits, 1)
    equal(r.errors + array.errors + w.errors, 0)
    local function f() end
    raises('did you mean "TIPG"', vm.on, vm, "write", { device = nic, reg = "TIGP" }, f)
    raises('"reg" needs "device"', vm.on, vm, "write", { reg = "TIPG" }, f)
    raises("goes with", vm.on, vm, "write", { device = nic }, f)
    raises("not both", vm.on, vm, "write", { device = nic, reg = "TIPG", at = 5 }, f)
    equal(nic:remove(), true) -- hooks on what is gone stay, and are not called
    vm.memory:write(0xd0000410, 4, 0x300)
    vm:close()
end)

--- edu-pci copies memory: START with TO_MEMORY or not.
local function edu()
    local vm, dut, config = board "edu-pci"
    local function copy(src, dst, n, command)
        wr(vm, 0x80, src)
        wr(vm, 0x84, 0)
        wr(vm, 0x88, dst)
        wr(vm, 0x8c, 0)
        wr(vm, 0x90, n)
        wr(vm, 0x98, command)
        vm:advance(n + 1)
    end
    --- Memory at `from` through the device's buffer to `to`.
    local function through(from, to, n)
        copy(from, 0x40000, n, 1)
        copy(0x40000, to, n, 3)
        return vm.memory:read_bytes(to, n)
    end
    return vm, dut, through, config
end

check.case("DMA: seen, replaced, dropped", function()
    local vm, dut, through = edu()
    local log = {}
    vm.memory:write_bytes(0x1000, "perilune")
    local h = vm:on("dma", { device = dut }, function(d, address, bytes, dir)
        equal(d, dut)
        log[#log + 1] = ("%s %x %s"):format(dir, address, bytes)
    end)
    equal(through(0x1000, 0x2000, 8), "perilune")
    equal(table.concat(log, ","), "read 1000 perilune,write 2000 perilune")
    equal(h.hits, 2)
    h:remove()

    local read = vm:on("dma", { device = dut, dir = "read" }, function(_, _, bytes)
        return bytes:upper()
    end)
    local second = vm:on("dma", { device = dut, dir = "read" }, function(_, _, bytes)
        equal(bytes, "PERILUNE")
        return bytes:reverse()
    end)
    equal(through(0x1000, 0x2000, 8), "ENULIREP")
    equal(second.errors, 0)
    read:remove()
    second:remove()

    h = vm:on("dma", { device = dut, dir = "read" }, function()
        return false
    end)
    equal(through(0x1000, 0x2000, 8), ("\xff"):rep(8))
    h:remove()
    vm.memory:write_bytes(0x2000, "--------")
    h = vm:on("dma", { device = dut, dir = "write" }, function()
        h:remove()
        return false
    end)
    equal(through(0x1000, 0x2000, 8), "--------")
    equal(h.hits, 1)
    vm.memory:write_bytes(0x2000, "--------")
    h = vm:on("dma", { device = dut }, function(_, _, _, dir)
        return dir == "write" and "" or nil
    end)
    equal(through(0x1000, 0x2000, 8), "--------", "swallowed")
    equal(h.errors, 0)
    h:remove()
    equal(through(0x1000, 0x2000, 8), "perilune")
    vm:close()
end)

check.case("DMA hooks: what is refused, and a device that goes", function()
    local vm, dut, through = edu()
    vm.memory:write_bytes(0x1000, "perilune")
    local wrong = vm:on("dma", { device = dut, on_error = "disable" }, function()
        return "other length"
    end)
    equal(through(0x1000, 0x2000, 8), "perilune")
    equal(wrong.errors, 1)
    local function f() end
    raises('needs "device"', vm.on, vm, "dma", {}, f)
    raises("none of both, read, write", vm.on, vm, "dma", { device = dut, dir = "sideways" }, f)
    raises("of its own", vm.on, vm, "dma", { device = vm:find { type = "isabus-bridge" }[1] or
        vm:find { type = "ioapic" }[1] }, f)
    equal(vm:supports("hook.dma"), true)
    local gone = vm:on("dma", { device = dut }, f)
    dut:remove()
    gone:remove()
    vm:close()
end)

check.case("a function that vanishes from its bus, and comes back", function()
    local vm, dut, through, config = edu()
    vm.memory:write_bytes(0x1000, "perilune")
    wr(vm, 4, 0x12345678)
    wr(vm, 0x20, 0x80)
    equal(dut.connected, true)
    dut:disconnect()
    equal(dut.connected, false)
    for _, offset in ipairs { 0, 4, 0x10, 0x3c } do
        equal(config(offset), 0xffffffff)
    end
    config(0x3c, 0x55)
    config(0x10, 0xd0000000)
    equal(rd(vm, 4), 0xffffffff)
    wr(vm, 4, 0)
    dut:set_reg("DMA_SRC[0]", 0x1000)
    dut:disconnect() -- twice is harmless

    dut:connect()
    equal(config(0), 0x11e91234)
    equal(config(0x10), BAR)
    equal(config(0x3c) & 0xff ~= 0x55, true, "writes were lost")
    equal(rd(vm, 4), ~0x12345678 & 0xffffffff)
    equal(through(0x1000, 0x2000, 8), "perilune")
    vm:close()
end)

check.case("DMA and interrupts of a function that vanished", function()
    local vm, dut, _, config = edu()
    vm.memory:write_bytes(0x1000, "perilune")
    wr(vm, 0x80, 0x1000) wr(vm, 0x84, 0)
    wr(vm, 0x88, 0x40000) wr(vm, 0x8c, 0)
    wr(vm, 0x90, 8)
    wr(vm, 0x98, 5) -- an interrupt at the end, which comes when it is off the bus
    local seen
    vm:on("dma", { device = dut }, function(_, _, bytes)
        seen = bytes
    end)
    dut:disconnect()
    vm:advance(100)
    equal(seen, ("\xff"):rep(8))
    equal(dut:reg "IRQ", 0x100, "the device itself goes on")
    dut:connect()
    equal(config(4) >> 16 & 8, 8, "interrupt status")
    dut:disconnect()
    dut:reset()
    dut:connect()
    equal(config(4) & 7, 0, "a reset reaches it all the same")
    local bus = vm:find { type = "ioapic" }[1]
    raises("not on a PCI bus", bus.disconnect, bus)
    vm:close()
end)

check.finish()
