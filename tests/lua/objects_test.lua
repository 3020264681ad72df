-- Objects: every type has help for every member, walks its properties in a fixed order, prints
-- itself, and says what is wrong with a use of it.
local check = require "check"
local core = require "perilune.core"

local case, equal, raises = check.case, check.equal, check.raises

local vm = perilune.machine("pc", { memory = "16M", cpus = 1, nic = "user", accel = "soft" })
local empty = perilune.machine("minimal", { memory = "1M", cpus = 0 })

local function contains(text, words)
    equal(text:find(words, 1, true) ~= nil, true, ("%q in %q"):format(words, text))
end

local function keys(object)
    local list = {}
    for k in pairs(object) do
        list[#list + 1] = k
    end
    return table.concat(list, " ")
end

local nic = vm:find { type = "e1000" }[1]
local objects = {
    vm = vm, machine = vm.machine, cpu = vm.cpus[1], space = vm.memory, region = vm.memory.root,
    device = nic, bus = nic.parent_bus, irq = vm.machine:line(), link = vm:links()[1],
    port = vm:links()[1].ports[1], chardev = vm:chardevs()[1], clock = vm.clock.virtual,
    symbols = vm.symbols, hook = vm:on("exec", { at = 0x1234 }, function() end), hub = vm.machine:hub("h"),
}

case("every member has a signature and help", function()
    local lacking, seen = {}, {}
    for _, type in ipairs(core.api()) do
        equal(seen[type.name], nil, "type " .. type.name)
        seen[type.name] = true
        if (type.help or "") == "" then
            lacking[#lacking + 1] = type.name
        end
        for _, m in ipairs(type.members) do
            if (m.help or "") == "" or (m.signature or "") == "" then
                lacking[#lacking + 1] = type.name .. "." .. m.name
            end
        end
    end
    equal(table.concat(lacking, ", "), "", "members without help")
    for name in pairs(objects) do
        equal(seen[name], true, name .. " in the list of types")
    end
end)

case("the list has what the objects have", function()
    for _, type in ipairs(core.api()) do
        local object = objects[type.name]
        if object then
            local names = {}
            for _, name in ipairs(core.names(object)) do
                names[name] = true
            end
            for _, m in ipairs(type.members) do
                equal(names[m.name], true, type.name .. "." .. m.name)
            end
        end
    end
    equal(core.api()[1].name, "perilune.core", "modules are there too")
end)

case("pairs goes through properties in a fixed order", function()
    for name, object in pairs(objects) do
        equal(keys(object), keys(object), name)
    end
    equal(keys(objects.clock), "now deadline")
    contains(keys(vm), "name state accel")
    contains(keys(nic), "type id path parent_bus buses bus")
    contains(keys(nic), "mac")
    equal(select(2, keys(nic):gsub("%f[%w]addr%f[%W]", "")), 1, "each property once")
    contains(keys(vm.cpus[1]), "rip")
end)

case("registers that a cpu has not are not gone through", function()
    local max = perilune.machine("minimal", { memory = "1M", cpu = "max", accel = "soft" })
    max:reset()
    equal(keys(max.cpus[1]):match("%S+$"), "ymm15")
    equal(keys(objects.cpu):find("ymm", 1, true), nil)
    raises("it has no YMM registers", function() return objects.cpu.ymm0 end)
    max:close()
end)

case("objects print themselves", function()
    contains(tostring(vm), 'vm "pc"')
    contains(tostring(nic), "/machine/")
    contains(tostring(nic), "e1000")
    contains(tostring(vm.memory.root), "system")
    contains(tostring(vm:device("ioapic"):gpio_in(4)), "irq line 4 of /machine/unattached/ioapic[0] (low)")
    equal(tostring(vm.symbols), "symbols (0)")
    for name, object in pairs(objects) do
        equal(tostring(object):find("userdata", 1, true), nil, name)
    end
end)

case("errors teach", function()
    raises('did you mean "state"', function() return vm.staet end)
    raises('did you mean "mac"', function() return nic.max end)
    raises('property "state" of a vm is read-only', function() vm.state = "running" end)
    raises('"run" of a vm is a method', function() vm.run = 1 end)
    raises("construct-only", function() nic.mac = "52:54:00:00:00:01" end)
    raises("call it with a colon: vm:stats(...)", function() vm.stats() end)
    raises("call it with a colon: region:children(...)", function()
        vm.memory.root.children()
    end)
end)

case("every kind of property of a device in Lua", function()
    local device = require "perilune.device"
    local m = empty.machine
    local def = device.define { name = "gadget", parent = "device", props = {
        num = { "int", 5, min = 1, max = 9, live = true }, len = { "size", "4K", live = true },
        flag = { "bool", true, live = true }, text = { "string", "x", live = true },
        color = { "enum", "red", values = { "red", "green" }, live = true },
        mode = { "onoff", "auto", live = true }, list = { "array", { 1, 2 }, min = 0, max = 50, live = true },
        peer = { "device", type = "gadget", live = true }, mac = { "mac", live = true },
        fixed = { "u8", 1 },
    } }
    local a, b = m:device(def, { id = "a", list = { 7, 8, 9 } }), m:device(def, { id = "b" })
    equal(table.concat(a.list, ","), "7,8,9")
    equal(table.concat(b.list, ","), "1,2")
    for name, values in pairs { num = { 7, 10 }, len = { 1 << 20, "many" }, flag = { false, "maybe" },
        text = { "y", 1.5 }, color = { "green", "blue" }, mode = { "on", "perhaps" },
        list = { { 50 }, { 51 } }, peer = { b, "nobody" },
        mac = { "52:54:00:00:00:09", "52:54" } } do
        a[name] = values[1]
        if name ~= "list" then
            equal(a[name], values[1], name)
        else
            equal(a.list[1], 50)
        end
        equal(pcall(function() a[name] = values[2] end), false, name .. " refuses")
    end
    raises("construct-only", function() a.fixed = 2 end)
    raises("from 0 to 50", function() a.list = { 51 } end)
    raises("not a whole number", function() a.list = { "x" } end)
    b:remove()
    equal(a.peer, nil, "a link to a device that is gone")
end)

case("objects of a closed machine", function()
    local space, clock = empty.memory, empty.clock.virtual
    empty:close()
    raises("closed vm", function() return empty.state end)
    raises("closed address space", function() return space:read(0, 1) end)
    raises("closed clock", function() return clock.now end)
    equal(tostring(space), "closed address space")
end)

vm:close()
check.finish()
