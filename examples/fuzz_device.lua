-- Random accesses to the registers of devices, without a cpu; after a reset all must be as it was.
-- Run it: perilune examples/fuzz_device.lua [SEED]
--
--     edu-gpio: 5000 accesses, reset restores its 6 registers
--     edu-watchdog: 5000 accesses, reset restores its 4 registers
--     edu-i2c: 5000 accesses, reset restores its 5 registers
--
-- The same seed gives the same accesses. Warnings tell of those that a device does not take.
local fault = require "perilune.fault"

local ACCESSES <const>, BASE <const>, SIZE <const> = 5000, 0x10000000, 0x20

local function registers(chip)
    local values = {}
    for n, r in ipairs(chip:registers()) do
        values[n] = ("%s=%x"):format(r.name, chip:reg(r.name))
    end
    return table.concat(values, " "), #values
end

local function fuzz(name, seed)
    local vm = perilune.machine("minimal", { cpus = 0, memory = "1M", serial = "none" })
    local chip = vm.machine:device(device.load(name), { addr = BASE })
    local before, count = registers(chip)
    local random = fault.random(seed, name)
    for n = 1, ACCESSES do
        local offset, size = random:below(SIZE), 1 << random:below(4)
        if random:below(2) == 0 then
            vm.memory:write(BASE + offset, size, random:next())
        else
            vm.memory:read(BASE + offset, size)
        end
        if n % 10 == 0 then
            vm:advance(random:below(100000))
        end
    end
    vm:reset()
    local after = registers(chip)
    assert(after == before, ("%s, seed %d: %s became %s"):format(name, seed, before, after))
    print(("%s: %d accesses, reset restores its %d registers"):format(name, ACCESSES, count))
    vm:close()
end

for _, name in ipairs { "edu-gpio", "edu-watchdog", "edu-i2c" } do
    fuzz(name, tonumber(arg[1]) or 1)
end
