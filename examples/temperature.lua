-- A sensor on the I2C bus of machine sample_board, read as a driver does; the world gets hotter.
-- Run it: perilune examples/temperature.lua
--
--     25.000 degrees
--     the sensor says too hot, at 270000 ns
--     81.500 degrees
--
-- There is no cpu: the script is the driver, and lets virtual time pass. `temperature` is a live
-- property of the sensor: docs/objects.md.
local I2C <const>, SENSOR <const>, BYTE_NS <const> = 0x10003000, 0x48, 90000
local PRESCALER <const>, CONTROL <const>, DATA <const>, COMMAND <const> = I2C, I2C + 8, I2C + 12, I2C + 16
local START <const>, STOP <const>, READ <const>, WRITE <const>, LAST <const> = 0x80, 0x40, 0x20, 0x10, 8

local vm = perilune.machine("sample_board", { cpus = 0, serial = "none" })
vm.memory:write(PRESCALER, 4, 99) -- 100 kHz
vm.memory:write(PRESCALER + 4, 4, 0)
vm.memory:write(CONTROL, 4, 0x80)

--- A byte over the bus; the one that was received.
local function transfer(command, byte)
    vm.memory:write(DATA, 4, byte or 0)
    vm.memory:write(COMMAND, 4, command)
    vm:advance(BYTE_NS)
    return (vm.memory:read(DATA, 4))
end

local function degrees()
    transfer(START | WRITE, SENSOR << 1 | 1)
    local high = transfer(READ)
    local low = transfer(READ | LAST | STOP)
    return string.unpack(">i2", string.char(high, low)) / 256
end

local sensor = vm:device "edu-lm75"
vm:on("irq", { line = vm:device("edu-gpio"):gpio_in("in", 1) }, function(_, level)
    print(("the sensor says %s, at %d ns"):format(level and "all is well" or "too hot",
        vm.clock.virtual.now))
end)
print(("%.3f degrees"):format(degrees()))
sensor.temperature = 81500
print(("%.3f degrees"):format(degrees()))
vm:close()
