-- The devices of a machine as JSON: buses, devices, properties, addresses, lines.
-- Run it: perilune examples/device_tree.lua [MACHINE]
--
--     {"bus":"main-system-bus","devices":[...,"type":"edu-lm75"}],"type":"i2c-bus"}...],"type":"System"}
--
-- in one line, for jq or a program. Of each device there are type, id, path, properties, info (what its
-- bus knows of it), lines and the buses that it provides.
local json = require "perilune.json"

local tree -- of a bus

local function node(device)
    local buses, properties = {}, {}
    for n, bus in ipairs(device.buses) do
        buses[n] = tree(bus)
    end
    for _, property in ipairs(device:properties()) do
        properties[property.name] = property.text
    end
    return { type = device.type, id = device.id, path = device.path, properties = properties,
        info = device:info(), lines = json.array(device:lines()), buses = json.array(buses) }
end

function tree(bus)
    local devices = {}
    for n, device in ipairs(bus.devices) do
        devices[n] = node(device)
    end
    return { bus = bus.name, type = bus.type, devices = json.array(devices) }
end

local vm = perilune.machine(arg[1] or "sample_board", { cpus = 0, serial = "none" })
print(json.encode(tree(vm.main_bus)))
vm:close()
