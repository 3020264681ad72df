-- Device types written in Lua: docs/devices-lua.md, on machines without a cpu, and the sample board
-- with one.
local check = require "check"

local equal, raises = check.equal, check.raises
local BASE <const> = 0x10000000

--- A machine without a cpu, whose parts `build(m)` makes. Returns vm and what build returned.
local function board(build)
    local made
    local vm = perilune.machine(machine.define {
        name = "board",
        build = function(m)
            m.memory:map(0, m:ram("ram", "1M"))
            made = table.pack(build(m))
        end,
    }, { cpus = 0, memory = "1M", serial = "none" })
    return vm, table.unpack(made)
end

--- A board with one system-bus device of this definition at BASE.
local function with(spec, props)
    local def = device.define(spec)
    props = props or {}
    props.addr = BASE
    return board(function(m)
        return m:device(def, props)
    end)
end

local function rd(vm, offset, size)
    return vm.memory:read(BASE + offset, size or 4)
end

local function wr(vm, offset, value, size)
    vm.memory:write(BASE + offset, size or 4, value)
end

check.case("plain registers follow their access kinds, and reset", function()
    local vm, d = with {
        name = "plain",
        mmio = { name = "plain", size = 0x40 },
        registers = {
            { name = "RW", offset = 0, rw = 0xffff, reset = 0x12345678 },
            { name = "RO", offset = 4, ro = 0xff, reset = 0x77 },
            { name = "W1C", offset = 8, w1c = 0xf, reset = 0xf },
            { name = "RC", offset = 0xc, ro = 0, rc = 0xff, reset = 0xa5 },
            { name = "W1S", offset = 0x10, w1s = 0xff },
            { name = "WO", offset = 0x14, wo = 0xff },
            { name = "ARRAY", offset = 0x20, count = 4, reset = 9 },
        },
    }
    equal(rd(vm, 0), 0x5678)
    wr(vm, 0, 0xffffabcd)
    equal(rd(vm, 0), 0xabcd)
    wr(vm, 4, 0)
    equal(rd(vm, 4), 0x77)
    wr(vm, 8, 5)
    equal(rd(vm, 8), 0xa)
    equal(rd(vm, 0xc), 0xa5)
    equal(rd(vm, 0xc), 0)
    wr(vm, 0x10, 0x11)
    wr(vm, 0x10, 0x22)
    equal(rd(vm, 0x10), 0x33)
    wr(vm, 0x14, 0xff)
    equal(rd(vm, 0x14), 0)
    wr(vm, 0x28, 77)
    equal(rd(vm, 0x24), 9)
    equal(rd(vm, 0x28), 77)
    equal(rd(vm, 0x30), 0, "no such register")
    equal(rd(vm, 0, 1), 0xff, "a narrow access is not taken")
    d:reset()
    equal(rd(vm, 0), 0x5678)
    equal(rd(vm, 0x28), 9)
    vm:close()
end)

check.case("functions of registers and windows get scalars; fields, state and properties", function()
    local log = {}
    local def = device.define {
        name = "functions",
        props = { gain = { "u32", 3, live = true }, label = { "string", "x" }, ["a-flag"] = { "bool", true },
            mode = { "enum", "slow", values = { "fast", "slow" } } },
        state = { total = "u16", gauge = { "u8", reset = 7 }, wide = "u64", flag = "bool",
            buf = { "bytes", 8 } },
        mmio = {
            { name = "regs", size = 0x20, registers = {
                { name = "ADD", offset = 0, write = function(dev, value, index)
                    log[#log + 1] = value .. "@" .. index
                    dev.total = dev.total + value * dev.props.gain
                end },
                { name = "TOTAL", offset = 4, read = function(dev)
                    return dev.total
                end },
                { name = "V", offset = 8, count = 3, rw = true, read = function(dev, index)
                    return dev:reg("V", index) + 100 * index
                end },
            } },
            { name = "raw", size = 0x100,
                read = function(_, offset, size)
                    return offset << 8 | size
                end,
                write = function(dev, offset, value, size)
                    dev.last = ("%d %d %d"):format(offset, value, size)
                    dev.writes = (dev.writes or 0) + 1
                end },
        },
        realize = function(dev)
            log[#log + 1] = "realize " .. dev.props.label
        end,
        reset = function(dev)
            log[#log + 1] = "reset " .. dev.gauge .. tostring(dev.flag) .. #dev.buf
            dev.gauge = 1
            dev.buf = "abc"
            dev.wide = -1
            dev.made_up = dev
        end,
    }
    local vm, d = board(function(m)
        local d = m:device(def, { addr = BASE, label = "here", id = "f0" })
        d:map(1, BASE + 0x1000)
        return d
    end)
    equal(log[1], "realize here")
    equal(log[2], "reset 7false8")
    wr(vm, 0, 5)
    equal(rd(vm, 4), 15)
    d.gain = 0x10000
    equal(d.gain, 0x10000)
    wr(vm, 0, 1)
    equal(rd(vm, 4), 15, "16 bits of state")
    wr(vm, 0x10, 7)
    equal(rd(vm, 0x10), 207)
    equal(rd(vm, 0x1010, 2), 0x1002)
    equal(rd(vm, 0x1003, 1), 1)
    equal(d.mode, "slow")
    equal(d["a-flag"], true)
    equal(d.path, "/machine/peripheral/f0")
    raises("construct-only", function() d.label = "no" end)
    raises("did you mean 'gain'", function() return d:get("gian") end)
    equal(#vm:find { type = "functions" }, 1)
    local text = require("perilune.monitor.info").qtree(vm)
    equal(text:find('dev: functions, id "f0"', 1, true) ~= nil, true, "qtree names it")
    equal(text:find('label = "here"', 1, true) ~= nil, true, "qtree shows properties")
    vm:close()
end)

check.case("an error in a callback: all ones, reported, the machine goes on; disable", function()
    local calls = 0
    local vm = with {
        name = "raises",
        on_error = "disable",
        mmio = { name = "raises", size = 0x10 },
        registers = {
            { name = "BAD", offset = 0, read = function() calls = calls + 1; error "no" end },
            { name = "TEXT", offset = 4, read = function() return "text" end },
            { name = "NONE", offset = 8, read = function() end },
            { name = "LOOP", offset = 12, read = function() while true do end end },
        },
    }
    for i = 0, 12, 4 do
        equal(rd(vm, i), 0xffffffff)
    end
    equal(rd(vm, 0), 0xffffffff)
    equal(calls, 1, "a disabled function is not called again")
    vm:close()
end)

check.case("an access within its own function ends in all ones, not in the host", function()
    local vm
    vm = with {
        name = "recursive",
        mmio = { name = "recursive", size = 0x10, sizes = { 4, 4 },
            read = function(dev)
                return (string.unpack("<I4", (dev:dma_read(BASE, 4))))
            end },
    }
    equal(rd(vm, 0), 0xffffffff)
    vm:close()
end)

check.case("a device removes itself while its function runs", function()
    local kept
    local vm, d = with {
        name = "leaves",
        mmio = { name = "leaves", size = 0x20, sizes = { 1, 8 },
            read = function(dev)
                kept = dev
                dev:remove()
                return 0x55
            end },
    }
    equal(rd(vm, 0), 0x55)
    equal(rd(vm, 0), 0xffffffff, "nobody is there")
    equal(#vm:devices(), 0)
    equal(tostring(kept), "closed device")
    raises("closed device", function() return kept.now end)
    raises("closed device", function() kept:irq(0, 1) end)
    raises("closed device", function() return d.type end)
    equal(tostring(d), "closed device")
    vm:close()

    vm = with {
        name = "leaves2",
        mmio = { name = "leaves2", size = 0x20, sizes = { 4, 8 } },
        registers = {
            { name = "GO", offset = 0, rc = 0xff, rw = 0, read = function(dev)
                local regs = dev.regs
                dev:remove()
                check.raises("closed device", function() return regs.GO end)
                return 0x66
            end },
            { name = "OTHER", offset = 4, reset = 5 },
        },
    }
    equal(rd(vm, 0, 8), 0xffffffff00000066, "the second half finds nobody")
    vm:close()
end)

check.case("timers fire on the virtual clock; one that sets itself lets time pass", function()
    local fired = {}
    local vm = with {
        name = "timers",
        mmio = { name = "timers", size = 0x10 },
        registers = { { name = "GO", offset = 0, write = function(dev, value)
            dev:timer("once"):set(value)
            dev:timer("again"):set(0)
        end } },
        timers = {
            once = function(dev) fired[#fired + 1] = dev.now end,
            again = function(dev)
                dev.count = (dev.count or 0) + 1
                if dev.count < 50 then
                    dev:timer("again"):set(0)
                end
            end,
        },
    }
    local start = vm.clock.virtual.now
    wr(vm, 0, 1000)
    vm:advance(999)
    equal(#fired, 0)
    vm:advance(1)
    equal(fired[1], start + 1000)
    wr(vm, 0, 1000)
    vm:reset()
    vm:advance(5000)
    equal(#fired, 1, "reset cancels")
    vm:close()
end)

check.case("edu-uart: bytes out and in, its interrupt", function()
    local vm, ring, line = board(function(m)
        local ring = m:chardev { type = "ring", id = "r" }
        local d = m:device(device.load "edu-uart", { addr = BASE, chardev = "r" })
        local line = m:line()
        d:connect("sysbus-irq", 0, line)
        return ring, line
    end)
    for byte in ("moon\n"):gmatch "." do
        wr(vm, 0, byte:byte())
    end
    equal((ring:read()), "moon\n")
    equal(rd(vm, 4), 2)
    wr(vm, 8, 1)
    ring:write "abcdefghijklmnopqrstuvwxyz"
    vm:advance(1)
    equal(line.level, true)
    equal(rd(vm, 4), 3)
    local got = {}
    while rd(vm, 4) & 1 == 1 do
        got[#got + 1] = string.char(rd(vm, 0))
        vm:advance(1)
    end
    equal(table.concat(got), "abcdefghijklmnopqrstuvwxyz")
    equal(line.level, false)
    vm:close()
end)

check.case("edu-gpio: outputs, inputs, edges", function()
    local vm, d, led, line = board(function(m)
        local d = m:device(device.load "edu-gpio", { addr = BASE })
        local led, line = m:line(), m:line()
        d:connect("out", 3, led)
        d:connect("sysbus-irq", 0, line)
        return d, led, line
    end)
    wr(vm, 0, 1 << 3)
    equal(led.level, true)
    wr(vm, 8, 1 << 3)
    equal(led.level, false)
    wr(vm, 4, 1 << 3 | 1)
    equal(rd(vm, 0), 9)
    wr(vm, 0x14, 1 << 5)
    d:gpio_in("in", 5):set(true)
    equal(line.level, true)
    equal(rd(vm, 0xc), 1 << 5)
    wr(vm, 0x10, 1 << 5)
    equal(line.level, false)
    vm:reset()
    equal(led.level, false)
    equal(rd(vm, 0xc), 1 << 5, "a level from outside survives reset")
    vm:close()
end)

check.case("edu-watchdog: kicked it stays quiet, else it interrupts and acts", function()
    local vm, d, line = board(function(m)
        local d = m:device(device.load "edu-watchdog", { addr = BASE, action = "none" })
        local line = m:line()
        d:connect("sysbus-irq", 0, line)
        return d, line
    end)
    equal(d.action, "none")
    wr(vm, 0, 100)
    wr(vm, 4, 1)
    for _ = 1, 5 do
        vm:advance(90000)
        wr(vm, 8, 0x5a)
    end
    equal(line.rises, 0)
    wr(vm, 8, 0x11)
    vm:advance(100000)
    equal(line.rises, 1)
    equal(rd(vm, 0xc), 1)
    wr(vm, 0xc, 1)
    equal(rd(vm, 0xc), 0)
    vm:reset()
    vm:advance(1000000)
    equal(line.rises, 1, "reset stops it")
    equal(line.level, false)
    vm:close()
end)

--- A PCI bus without anything around it; BAR 0 of edu-pci at 0xe0000000.
local function pci_board(props)
    local vm = perilune.machine("pc", { cpus = 0, memory = "16M", serial = "none",
        device = { props or "edu-pci,addr=05.0,id=edu" } })
    local function config(offset, value)
        vm.io:write(0xcf8, 4, 0x80000000 | 5 << 11 | offset & ~3)
        if value then
            vm.io:write(0xcfc, 4, value)
        end
        return vm.io:read(0xcfc, 4)
    end
    config(0x10, 0xe0000000)
    config(0x04, 7)
    return vm, config
end

check.case("edu-pci, named on the command line: registers, factorial, DMA, interrupt", function()
    local vm, config = pci_board()
    local bar = 0xe0000000
    local function r(o) return vm.memory:read(bar + o, 4) end
    local function w(o, v) vm.memory:write(bar + o, 4, v) end
    equal(config(0), 0x11e91234)
    equal(config(0x3c) >> 8 & 0xff, 1, "pin")
    equal(r(0), 0x010000ed)
    w(4, 0x12345678)
    equal(r(4), ~0x12345678 & 0xffffffff)
    w(0x20, 0x80)
    w(8, 10)
    equal(r(0x20) & 1, 1, "computing")
    vm:advance(10000)
    equal(r(0x20) & 1, 0)
    equal(r(8), 3628800)
    equal(r(0x24), 1)
    equal(config(4) >> 16 & 8, 8, "interrupt status")
    w(0x24, 1)
    equal(config(4) >> 16 & 8, 0)

    vm.memory:write_bytes(0x1000, "perilune")
    local function dma(src, dst, n, command)
        w(0x80, src); w(0x84, 0); w(0x88, dst); w(0x8c, 0); w(0x90, n); w(0x98, command)
        vm:advance(n + 1)
        return r(0x98) & 1
    end
    equal(dma(0x1000, 0x40010, 8, 1), 0)
    equal(dma(0x40010, 0x2000, 8, 3 | 4), 0)
    equal(vm.memory:read_bytes(0x2000, 8), "perilune")
    equal(r(0x24), 0x100)
    equal(dma(0x40ffc, 0x2000, 8, 3), 0, "a transfer that leaves the buffer")
    equal(vm.memory:read_bytes(0x2000, 8), "perilune")
    config(4, 3)
    equal(dma(0x40000, 0x2000, 4, 3), 0)
    equal(vm.memory:read_bytes(0x2000, 8), "perilune", "no DMA without bus mastering")
    vm:device("edu"):reset()
    equal(config(4) & 7, 0)
    vm:close()
end)

check.case("an ISA device: ports and its line", function()
    local def = device.define {
        name = "edu-isa", parent = "isa-device", irqs = 1, irq = 5,
        pio = { name = "edu-isa", size = 4, port = 0x240,
            read = function(dev, offset) return dev.last + offset end,
            write = function(dev, _, value)
                dev.last = value
                dev:irq(value == 1)
            end },
        state = { last = "u8" },
    }
    local vm, d = board(function(m)
        m:device("isabus-bridge")
        return m:device(def, { iobase = 0x260 })
    end)
    vm.io:write(0x260, 1, 1)
    equal(vm.io:read(0x263, 1), 4)
    equal(vm.io:read(0x240, 1), 0xff)
    equal(d:info().isa_irqs[1], 5)
    raises("reach beyond 0xffff", board, function(m)
        m:device("isabus-bridge")
        m:device(def, { iobase = 0xffff })
    end)
    vm:close()
end)

check.case("wrong definitions are refused with place, type and remedy", function()
    local function refused(words, spec)
        raises(words, device.define, spec)
    end
    local window = { name = "w", size = 0x10 }
    refused("takes a table", 7)
    raises("luadev_test.lua", function() device.define {} end)
    refused("needs a name", {})
    refused('did you mean "registers"', { name = "x", registres = {} })
    refused('did you mean "pci-device"', { name = "x", parent = "pci-devise" })
    refused("registers lie in a window", { name = "x", registers = { { name = "A", offset = 0 } } })
    refused("multiple of 4", { name = "x", mmio = window, registers = { { name = "A", offset = 2 } } })
    refused("from 0 to 12", { name = "x", mmio = window, registers = { { name = "A", offset = 16 } } })
    refused("all of it in the window",
        { name = "x", mmio = window, registers = { { name = "A", offset = 12, count = 2 } } })
    refused("another register at offset 0x4", { name = "x", mmio = window,
        registers = { { name = "A", offset = 0, count = 2 }, { name = "B", offset = 4 } } })
    refused("another one of that name", { name = "x", mmio = window,
        registers = { { name = "A", offset = 0 }, { name = "A", offset = 4 } } })
    refused("two kinds of access", { name = "x", mmio = window,
        registers = { { name = "A", offset = 0, rw = 3, ro = 1 } } })
    refused("must be a function", { name = "x", mmio = window,
        registers = { { name = "A", offset = 0, read = 3 } } })
    refused('did you mean "offset"', { name = "x", mmio = window,
        registers = { { name = "A", ofset = 0 } } })
    refused("must be from 1", { name = "x", mmio = { name = "w" } })
    refused("its windows are pci.bars", { name = "x", parent = "pci-device", mmio = window,
        pci = { vendor = 1, device = 1 } })
    refused("vendor is -1", { name = "x", parent = "pci-device", pci = {} })
    refused("power of two", { name = "x", parent = "pci-device",
        pci = { vendor = 1, device = 1, bars = { [0] = { size = 48 } } } })
    refused("upper half", { name = "x", parent = "pci-device",
        pci = { vendor = 1, device = 1, bars = { [0] = { size = 16, kind = "mem64" }, { size = 16 } } } })
    refused("numbered from 0 to 5", { name = "x", parent = "pci-device",
        pci = { vendor = 1, device = 1, bars = { [6] = { size = 16 } } } })
    refused("needs values", { name = "x", props = { a = { "enum", "b" } } })
    refused('no type "u31"', { name = "x", props = { a = { "u31" } } })
    refused("its default", { name = "x", props = { a = { "u8", 256 } } })
    refused("its default", { name = "x", props = { a = { "enum", "c", values = { "a" } } } })
    refused("of that name", { name = "x", state = { level = "u8" } })
    refused("bytes need a length", { name = "x", state = { a = { "bytes" } } })
    refused("number of lines", { name = "x", gpio_out = { a = 0 } })
    refused("no irqs", { name = "x", parent = "device", irqs = 1 })
    refused("reset is", { name = "x", mmio = window,
        registers = { { name = "A", offset = 0, reset = 1 << 32 } } })
end)

check.case("names that are taken; one definition in two machines; failing realize", function()
    local def = device.define { name = "twice", mmio = { size = 16 } }
    local other = device.define { name = "twice", mmio = { size = 32 } }
    local taken = device.define { name = "isa-serial" }
    local failing = device.define { name = "failing", mmio = { size = 16 },
        realize = function() error "not today" end }
    local a = board(function(m)
        equal(m:define(def), "twice")
        equal(m:define(def), "twice")
        raises("exists already", m.define, m, other)
        raises("exists already", m.define, m, taken)
        raises("not today", m.device, m, failing)
        m:device("twice")
        m:device(def)
    end)
    equal(#a:devices(), 2)
    local b = board(function(m) m:device(def, { addr = BASE }) end)
    a:close()
    equal(rd(b, 0), 0xffffffff)
    b:close()
    raises("device.define", board, function(m) m:device({}) end)
    raises("unknown device type", board, function(m) m:device("never-seen") end)
    collectgarbage()
end)

check.case("listings of the command line know the files on the path of search", function()
    local core = require "perilune.core"
    equal(device.available()["edu-uart"]:match "[^/]+$", "edu-uart.lua")
    local info = core.type_info(device.load "edu-watchdog")
    equal(info.name, "edu-watchdog")
    equal(info.bus, "System")
    local names = {}
    for i, p in ipairs(info.properties) do
        names[i] = p.name
    end
    equal(table.concat(names, " "), "addr action")
    raises('did you mean "edu-uart"', device.load, "edu-uarts")
    raises("a definition is wanted", core.type_info, {})
end)

check.case("sample_board runs a bare-metal program", function()
    local vm = perilune.machine("sample_board", { serial = "ring", idle = "warp", watchdog = "reset" })
    -- Flat real mode would not reach the devices: protected mode, flat segments, set up by the loader.
    local uart, gpio, dog = 0x10000000, 0x10001000, 0x10002000
    local out = {}
    local function store(addr, value)
        out[#out + 1] = "\xc7\x05" .. string.pack("<I4I4", addr, value) -- mov dword [addr], value
    end
    for c in ("board\n"):gmatch "." do
        store(uart, c:byte())
    end
    store(gpio, 1)
    -- mov eax, [gpio EDGES]; add al, '0'; movzx; mov [uart], eax: the loopback latched an edge
    out[#out + 1] = "\xa1" .. string.pack("<I4", gpio + 0x10) .. "\x04\x30\xa3" .. string.pack("<I4", uart)
    store(dog, 100)   -- 100 microseconds
    store(dog + 4, 1) -- and nobody kicks it
    out[#out + 1] = "\xf4\xeb\xfd" -- hlt; jmp back to it
    local code = table.concat(out)
    local boots = 0
    vm:on_reset(function()
        boots = boots + 1
        if boots > 3 then
            vm:stop("enough boots", 0)
        end
        local cpu = vm.cpus[1]
        vm.memory:write_bytes(0x8000, code)
        vm.memory:write_bytes(0x7000, string.pack("<I8I8I8", 0, 0x00cf9b000000ffff, 0x00cf93000000ffff))
        -- lgdt [0x7020]; mov eax, cr0; or al, 1; mov cr0, eax; mov ax, 16; mov ds, ax; jmp 8:0x8000
        vm.memory:write_bytes(0x7020, string.pack("<I2I4", 23, 0x7000))
        vm.memory:write_bytes(0x1000, "\x0f\x01\x16\x20\x70\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"
            .. "\xb8\x10\x00\x8e\xd8\x66\xea\x00\x80\x00\x00\x08\x00")
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    boots = 1
    vm:run()
    equal(vm.exit_reason, "enough boots")
    local text = vm:chardevs()[1]:read()
    equal(text, ("board\n1"):rep(3))
    equal(vm:find({ type = "edu-watchdog" })[1].type, "edu-watchdog")
    vm:close()
end)

--- A machine with this board and a program in flat protected mode at 0x8000, started from real
--- mode; before_run(vm) sees it first. Returns the machine when it has ended.
local function run_on_board(props, code, before_run)
    props.serial, props.idle = "ring", "warp"
    local vm = perilune.machine("sample_board", props)
    vm:on_reset(function()
        local cpu = vm.cpus[1]
        vm.memory:write_bytes(0x8000, code)
        vm.memory:write_bytes(0x7000, string.pack("<I8I8I8", 0, 0x00cf9b000000ffff, 0x00cf93000000ffff))
        -- lgdt [0x7020]; mov eax, cr0; or al, 1; mov cr0, eax; mov ax, 16; mov ds, ax; mov ss, ax;
        -- jmp 8:0x8000
        vm.memory:write_bytes(0x7020, string.pack("<I2I4", 23, 0x7000))
        vm.memory:write_bytes(0x1000, "\x0f\x01\x16\x20\x70\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"
            .. "\xb8\x10\x00\x8e\xd8\x8e\xd0\x66\xea\x00\x80\x00\x00\x08\x00")
        cpu.cs, cpu.cs_base, cpu.rip, cpu.rsp = 0, 0, 0x1000, 0x6000
    end)
    vm:reset()
    if before_run then
        before_run(vm)
    end
    vm:run()
    return vm
end

local HALT <const> = "\xf4\xeb\xfd" -- hlt; jmp back to it

--- mov dword [addr], value
local function store(addr, value)
    return "\xc7\x05" .. string.pack("<I4I4", addr, value)
end

--- mov al, value; out port, al
local function out(port, value)
    return string.char(0xb0, value, 0xe6, port)
end

check.case("a cpu takes the interrupt of a device written in Lua", function()
    local UART <const>, HANDLER <const>, IDT <const> = 0x10000000, 0x9000, 0x7100
    -- A master alone: vectors from 0x20 on, all masked but line 4, the uart's.
    local code = out(0x20, 0x11) .. out(0x21, 0x20) .. out(0x21, 0x04) .. out(0x21, 0x01)
        .. out(0x21, 0xef)
        .. "\x0f\x01\x1d" .. string.pack("<I4", 0x70f0) -- lidt [0x70f0]
        .. store(UART + 8, 1) -- interrupt while a byte waits
        .. "\xfb" .. HALT
    -- mov eax, [DATA]; inc eax; mov [DATA], eax; end of interrupt; iret
    local handler = "\xa1" .. string.pack("<I4", UART) .. "\x40\xa3" .. string.pack("<I4", UART)
        .. out(0x20, 0x20) .. "\xcf"
    local vm = run_on_board({}, code, function(vm)
        vm.memory:write_bytes(HANDLER, handler)
        vm.memory:write_bytes(0x70f0, string.pack("<I2I4", 0x25 * 8 - 1, IDT))
        vm.memory:write_bytes(IDT + 0x24 * 8, string.pack("<I2I2I2I2", HANDLER, 8, 0x8e00, 0))
        local text = "HAL"
        vm:every("1ms", function() -- one at a time: the lines of this controller have edges
            vm:chardevs()[1]:write(text:sub(1, 1))
            text = text:sub(2)
        end)
        vm:on("serial", { text = "IBM" }, function()
            vm:stop("answered", 0)
        end)
    end)
    equal(vm.exit_reason, "answered")
    equal(vm:stats().interrupts, 3)
    equal(vm:chardevs()[1]:read(), "IBM")
    vm:close()
end)

check.case("the watchdog powers off, and pauses", function()
    local DOG <const> = 0x10002000
    local code = store(DOG, 100) .. store(DOG + 4, 1) .. HALT
    local vm = run_on_board({ watchdog = "poweroff" }, code)
    equal(vm.exit_reason, "poweroff")
    equal(vm.exit_status, 0)
    vm:close()
    vm = run_on_board({ watchdog = "pause" }, code)
    equal(vm.state, "paused")
    equal(vm.clock.virtual.now // 1000, 150, "microseconds: a period and a half")
    vm:close()
end)

check.finish()
