-- The I2C bus and devices on it written in Lua: the controller, EEPROM and temperature sensor of
-- examples/devices, and what a definition may say of I2C.
local check = require "check"

local equal, raises = check.equal, check.raises
local BASE <const> = 0x10000000
local PRER_LO <const>, CTR <const>, DATA <const>, COMMAND <const> = 0x00, 0x08, 0x0c, 0x10
local START, STOP, READ, WRITE, NACK <const> = 0x80, 0x40, 0x20, 0x10, 0x08
local NOT_ACKNOWLEDGED, BUSY, UNDER_WAY, INTERRUPT <const> = 0x80, 0x40, 0x02, 0x01
-- A prescaler of 99 at 50 MHz: 100 kHz, nine bits take 90 us.
local BYTE_NS <const> = 90000

--- A machine without a cpu whose controller is at BASE; build(bus, m) puts devices on its bus.
local function board(build)
    local made
    local vm = perilune.machine(machine.define {
        name = "board",
        build = function(m)
            m.memory:map(0, m:ram("ram", "1M"))
            local controller = m:device(device.load "edu-i2c", { addr = BASE })
            local line = m:line()
            controller:connect("sysbus-irq", 0, line)
            made = table.pack(line, build(controller.bus["i2c.0"], m))
        end,
    }, { cpus = 0, memory = "1M", serial = "none" })
    vm.memory:write(BASE + PRER_LO, 4, 99)
    vm.memory:write(BASE + PRER_LO + 4, 4, 0)
    vm.memory:write(BASE + CTR, 4, 0x80)
    return vm, table.unpack(made)
end

local function status(vm)
    return vm.memory:read(BASE + COMMAND, 4)
end

--- One command, waited for; whether it was acknowledged.
local function run(vm, command, data)
    if data then
        vm.memory:write(BASE + DATA, 4, data)
    end
    vm.memory:write(BASE + COMMAND, 4, command)
    vm:advance(BYTE_NS)
    return status(vm) & NOT_ACKNOWLEDGED == 0
end

--- A write transfer: whether each byte was acknowledged, the address first.
local function write(vm, address, ...)
    local ok, bytes = run(vm, START | WRITE | (select("#", ...) == 0 and STOP or 0), address << 1), { ... }
    for i, byte in ipairs(bytes) do
        ok = run(vm, WRITE | (i == #bytes and STOP or 0), byte) and ok
    end
    return ok
end

--- A read of n bytes, after writing the bytes that choose what is read.
local function read(vm, address, n, ...)
    run(vm, START | WRITE, address << 1)
    for _, byte in ipairs { ... } do
        run(vm, WRITE, byte)
    end
    local ok, bytes = run(vm, START | WRITE, address << 1 | 1), {}
    for i = 1, n do
        run(vm, READ | (i == n and STOP | NACK or 0))
        bytes[i] = vm.memory:read(BASE + DATA, 4)
    end
    return ok and string.char(table.unpack(bytes))
end

check.case("the controller: a byte takes nine bits of time, interrupts when done", function()
    local vm, line = board(function(bus)
        bus:device(device.load "edu-eeprom", { address = 0x50 })
    end)
    vm.memory:write(BASE + CTR, 4, 0xc0)
    vm.memory:write(BASE + DATA, 4, 0x50 << 1)
    vm.memory:write(BASE + COMMAND, 4, START | WRITE)
    equal(status(vm), BUSY | UNDER_WAY)
    vm:advance(BYTE_NS - 1)
    equal(status(vm), BUSY | UNDER_WAY)
    equal(line.level, false)
    vm:advance(1)
    equal(status(vm), BUSY | INTERRUPT)
    equal(line.level, true)
    vm.memory:write(BASE + COMMAND, 4, 1)
    equal(line.level, false)
    vm.memory:write(BASE + COMMAND, 4, STOP)
    equal(status(vm), 0)
    equal(run(vm, START | WRITE | STOP, 0x51 << 1), false, "nobody is at 0x51")
    vm:close()
end)

check.case("edu-eeprom: pages, the write cycle, sequential reads, protection, reset", function()
    local vm, _, chip = board(function(bus)
        return bus:device(device.load "edu-eeprom", { address = 0x50, id = "rom" })
    end)
    equal(read(vm, 0x50, 2, 0), "\xff\xff", "erased")
    equal(write(vm, 0x50, 0x10, 1, 2, 3), true)
    equal(write(vm, 0x50), false, "busy with its write cycle")
    vm:advance(5000000)
    equal(write(vm, 0x50), true, "done")
    equal(read(vm, 0x50, 4, 0x10), "\1\2\3\xff")
    -- Eleven bytes from 0x25: the page of 0x20 is filled and wrapped.
    write(vm, 0x50, 0x25, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
    vm:advance(5000000)
    equal(read(vm, 0x50, 8, 0x20), string.char(14, 15, 16, 17, 18, 19, 20, 21))
    write(vm, 0x50, 0xff, 0x77)
    vm:advance(5000000)
    equal(read(vm, 0x50, 3, 0xff), "\x77\xff\xff", "after the last byte comes the first")
    chip.write_protect = true
    equal(write(vm, 0x50, 0x10, 9), true)
    equal(write(vm, 0x50), true, "no write cycle")
    equal(read(vm, 0x50, 1, 0x10), "\1")
    vm:reset()
    vm.memory:write(BASE + PRER_LO, 4, 99)
    vm.memory:write(BASE + PRER_LO + 4, 4, 0)
    vm.memory:write(BASE + CTR, 4, 0x80)
    equal(read(vm, 0x50, 3, 0x10), "\1\2\3", "a reset of the board changes nothing that it holds")
    vm:close()
end)

check.case("edu-eeprom: the file that it begins with", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write("image")
    file:close()
    local vm = board(function(bus)
        bus:device(device.load "edu-eeprom", { address = 0x51, file = path })
    end)
    equal(read(vm, 0x51, 6, 0), "image\xff")
    vm:close()
    os.remove(path)
    raises("No such file", board, function(bus)
        bus:device(device.load "edu-eeprom", { address = 0x51, file = path })
    end)
end)

check.case("edu-lm75: temperature, limit, hysteresis, output in both modes", function()
    local vm, _, sensor, output = board(function(bus, m)
        local sensor = bus:device(device.load "edu-lm75", { address = 0x48 })
        local output = m:line()
        sensor:connect("os", 0, output)
        return sensor, output
    end)
    local function temperature()
        return string.unpack(">i2", read(vm, 0x48, 2, 0)) / 256
    end
    vm:reset()
    vm.memory:write(BASE + PRER_LO, 4, 99)
    vm.memory:write(BASE + PRER_LO + 4, 4, 0)
    vm.memory:write(BASE + CTR, 4, 0x80)
    equal(temperature(), 25.0)
    sensor.temperature = -12625
    equal(temperature(), -12.625)
    equal(read(vm, 0x48, 2, 3), "\x50\x00", "80 degrees")
    equal(output.level, true, "active low, not active")
    write(vm, 0x48, 3, 30, 0)
    write(vm, 0x48, 2, 28, 0)
    sensor.temperature = 30000
    equal(output.level, false)
    sensor.temperature = 29000
    equal(output.level, false, "hysteresis")
    sensor.temperature = 27999
    equal(output.level, true)
    write(vm, 0x48, 1, 2 | 4) -- interrupt mode, active high
    equal(output.level, false)
    sensor.temperature = 40000
    equal(output.level, true)
    temperature()
    equal(output.level, false, "a read ends the interrupt")
    sensor.temperature = 41000
    equal(output.level, false, "once at each crossing")
    sensor.temperature = 20000
    equal(output.level, true)
    raises("from -55000 to 125000", function()
        sensor.temperature = 200000
    end)
    vm:close()
end)

local function idle_device(name, i2c)
    return device.define { name = name, parent = "i2c-device", i2c = i2c }
end

check.case("addresses: reserved, taken, none", function()
    raises("0x78 is reserved", board, function(bus)
        bus:device(idle_device("one"), { address = 0x78 })
    end)
    raises("0x00 is reserved", board, function(bus)
        bus:device(idle_device("one"), {})
    end)
    raises("0x20 of 'i2c.0' is taken by", board, function(bus)
        bus:device(idle_device("one"), { address = 0x20 })
        bus:device(idle_device("two"), { address = 0x20 })
    end)
    local vm = perilune.machine("minimal", { cpus = 0, memory = "1M", serial = "none" })
    raises("needs a bus of type i2c-bus", vm.machine.device, vm.machine, idle_device("one"),
        { address = 0x20 })
    vm:close()
end)

check.case("a device with no functions, one that raises, one that leaves in mid-transfer", function()
    local gone
    local vm, _, leaver = board(function(bus)
        bus:device(idle_device("mute"), { address = 0x20 })
        bus:device(device.define { name = "bad", parent = "i2c-device", on_error = "disable",
            i2c = { start = function()
                error("not today")
            end } }, { address = 0x21 })
        return bus:device(device.define { name = "leaver", parent = "i2c-device",
            unrealize = function(dev)
                gone = dev.name
            end,
            i2c = { send = function(dev)
                dev:remove()
            end } }, { address = 0x22, id = "leaver" })
    end)
    equal(write(vm, 0x20), true, "it acknowledges its address")
    equal(write(vm, 0x20, 1), false, "and takes nothing")
    equal(read(vm, 0x20, 1), "\xff")
    equal(write(vm, 0x21), false)
    equal(write(vm, 0x22, 1, 2), false, "nobody takes the second byte")
    equal(gone, "/machine/peripheral/leaver")
    raises("closed device", function()
        return leaver.type
    end)
    vm:close()
end)

check.case("unrealize: called when the device is taken out, not when realize failed", function()
    local calls = 0
    local def = device.define { name = "counted", unrealize = function()
        calls = calls + 1
    end, realize = function(dev)
        assert(dev.props.good, "refused")
    end, props = { good = { "bool", true } } }
    local vm = board(function(_, m)
        raises("refused", m.device, m, def, { good = false })
        equal(calls, 0)
        m:device(def, { id = "c" })
    end)
    vm:close()
    equal(calls, 0, "the machine goes as a whole")
end)

check.case("a live property tells its device; one that refuses keeps the old value", function()
    local seen = {}
    local def = device.define { name = "knob", props = {
        level = { "u8", 3, live = true, changed = function(dev)
            assert(dev.props.level < 10, "too high")
            seen[#seen + 1] = dev.props.level
        end },
    } }
    local vm, _, knob = board(function(_, m)
        return m:device(def, { level = 5 })
    end)
    equal(#seen, 0, "not while it is made")
    knob.level = 7
    equal(seen[1], 7)
    raises("too high", function()
        knob.level = 11
    end)
    equal(knob.level, 7)
    equal(#seen, 1)
    vm:close()
end)

check.case("wrong definitions", function()
    raises('i2c is for parent = "i2c-device"', device.define, { name = "x", i2c = {} })
    raises('did you mean "receive"', idle_device, "x", { recieve = print })
    raises("i2c send must be a function", idle_device, "x", { send = 1 })
    raises("i2c_bus is the name of a bus", device.define, { name = "x", i2c_bus = "a b" })
    raises("changed is for live properties", device.define,
        { name = "x", props = { p = { "u8", 1, changed = print } } })
    local vm, _, d = board(function(_, m)
        return m:device(device.define { name = "no-bus", mmio = { name = "w", size = 4,
            read = function(dev)
                return dev:i2c_start(0x20, true) and 1 or 0
            end }, on_error = "disable" }, { addr = 0x20000000 })
    end)
    equal(vm.memory:read(0x20000000, 4), 0xffffffff)
    equal(d.type, "no-bus")
    vm:close()
end)

check.finish()
