-- Changing a machine while it is there: memory as one transaction, devices and networks that come
-- and go, with nothing left behind.
local check = require "check"

local case, equal, raises = check.case, check.equal, check.raises

local function pc(options)
    options = options or {}
    options.memory, options.cpus, options.nic = "16M", options.cpus or 0, options.nic or "none"
    return perilune.machine("pc", options)
end

local function contains(text, words)
    equal(text:find(words, 1, true) ~= nil, true, ("%q in %q"):format(words, text))
end

--- A register of configuration space, by mechanism 1.
local function config(vm, devfn, offset, value)
    vm.io:write(0xcf8, 4, 0x80000000 | devfn << 8 | offset)
    if value then
        vm.io:write(0xcfc, 4, value)
    end
    return (vm.io:read(0xcfc, 4))
end

-- ---- memory ----

case("a batch takes effect at its end", function()
    local vm <close> = pc()
    local a, b = vm.machine:ram("a", 0x1000), vm.machine:ram("b", 0x1000)
    vm:batch(function()
        vm.memory:map(0xd0000000, a, 1)
        equal(select(2, vm.memory:read(0xd0000000, 1)), "unassigned", "inside")
        vm.memory:map(0xd0001000, b, 1)
    end)
    equal(vm.memory:write(0xd0000ffe, 4, 0x11223344), true)
    equal(vm.memory:read(0xd0001000, 2), 0x1122)
end)

case("a batch that raises leaves what was done, and says where", function()
    local vm <close> = pc()
    local a = vm.machine:ram("a", 0x1000)
    raises("topology_test.lua", function()
        vm.machine:batch(function()
            vm.memory:map(0xd0000000, a)
            error("half-way")
        end)
    end)
    equal(vm.memory:write(0xd0000000, 1, 1), true, "it is mapped")
    raises("a batch may not", function() vm:batch(function() vm:run() end) end)
    raises('did you mean "diff"', function() vm:batch(function() end, { dif = true }) end)
end)

case("the difference that a batch makes", function()
    local vm <close> = pc()
    local a = vm.machine:ram("a", 0x1000)
    local diff = vm:batch(function() vm.memory:map(0xd0000000, a, 3) end, { diff = true })
    equal(#diff, 3, "memory, the same for system management mode, and PIIX3, which may be bus master")
    equal(diff[2].space .. " " .. diff[3].space, "cpu-smm PIIX3")
    equal(diff[1].change, "added")
    equal(diff[1].start, 0xd0000000)
    equal(diff[1].priority, 3)
    contains(tostring(diff), "+ 00000000d0000000-00000000d0000fff (prio 3, ram): a")
    diff = vm:batch(function()
        a.priority = 5
        a.readonly = true
    end, { diff = true })
    equal(diff[1].change, "changed")
    equal(diff[1].before.kind .. " " .. diff[1].kind, "ram rom")
    diff = vm:batch(function() a.addr = 0xd0002000 end, { diff = true })
    equal(diff[1].change .. " " .. diff[2].change, "removed added")
    diff = vm:batch(function() a.enabled = false end, { diff = true })
    equal(diff[1].change, "removed")
    equal(tostring(vm:batch(function() end, { diff = true })), "nothing has changed")
    raises("cannot hold others", function() a:map(0, vm.machine:ram("r", 4096)) end)
    raises("not mapped anywhere", function() vm.machine:ram("r2", 4096).addr = 0 end)
end)

case("regions come and go while a cpu runs", function()
    local vm <close> = pc { cpus = 1 }
    -- Add 1 to the byte at 0x8000 and at 0x9000, for ever.
    vm.memory:write_bytes(0x7c00, "\xfe\x06\x00\x80\xfe\x06\x00\x90\xeb\xf6")
    local cpu = vm.cpus[1]
    cpu.cs, cpu.cs_base, cpu.ds, cpu.ds_base, cpu.rip = 0, 0, 0, 0, 0x7c00
    local over, changes = vm.machine:ram("over", 0x1000), 0
    vm.memory:map(0x8000, over, 10)
    vm:every(100000, function()
        changes = changes + 1
        vm:batch(function()
            if changes % 3 == 0 then
                over:unmap()
                vm.memory:map(changes % 2 == 0 and 0x8000 or 0x9000, over, 10)
            elseif changes % 3 == 1 then
                over.enabled = not over.enabled
            else
                over.addr = changes % 2 == 0 and 0x9000 or 0x8000
            end
        end)
        if changes == 200 then
            vm:pause()
        end
    end)
    vm:run()
    equal(changes, 200)
    equal(cpu.rip >= 0x7c00 and cpu.rip < 0x7c0a, true, "still in its loop")
end)

-- ---- devices ----

case("a function that is plugged in answers, and one that is unplugged does not", function()
    local vm <close> = pc()
    local devfn = 4 << 3
    equal(config(vm, devfn, 0), 0xffffffff)
    local nic = vm.machine:device("e1000", { id = "n1", addr = "04.0" })
    equal(config(vm, devfn, 0), 0x100e8086)
    config(vm, devfn, 0x10, 0xe0000000)
    config(vm, devfn, 4, 7)
    equal(vm.memory:read(0xe0000008, 4) ~= 0xffffffff, true, "its STATUS register")
    local bars = #vm:batch(function() nic:remove() end, { diff = true })
    equal(bars > 0, true, "its windows are gone")
    equal(config(vm, devfn, 0), 0xffffffff)
    equal(vm.memory:read(0xe0000008, 4), 0xffffffff)
    raises("closed device", function() return nic.mac end)
    equal(#vm:find { type = "e1000" }, 0)
    equal(vm.machine:device("e1000", { id = "n1", addr = "04.0" }).id, "n1", "the id is free again")
end)

case("handles to what a device had are closed", function()
    local vm <close> = pc { netdev = "user,id=u1" }
    local before = {}
    for _, s in ipairs(vm:spaces()) do
        before[s] = true
    end
    local nic = vm.machine:device("e1000", { addr = "04.0", netdev = "u1" })
    local space, link = nil, vm:links()[1]
    for _, s in ipairs(vm:spaces()) do
        space = not before[s] and s or space
    end
    local port = link.ports[1]
    config(vm, 4 << 3, 0x10, 0xe0000000)
    config(vm, 4 << 3, 4, 7)
    local region
    for _, r in ipairs(vm.memory.root:children()) do
        for _, child in ipairs(r:children()) do
            region = child.name == "e1000-mmio" and child or region
        end
        region = r.name == "e1000-mmio" and r or region
    end
    vm.machine:dump("u1", os.tmpname(), "d")
    local told = 0
    vm:on("packet", { link = link }, function() told = told + 1 end)
    nic:remove()
    raises("closed address space", function() return space.root end)
    raises("closed link", function() return link.up end)
    raises("closed network port", function() return port.id end)
    if region then
        raises("closed region", function() return region.name end)
    end
    equal(tostring(nic), "closed device")
    equal(#vm:links(), 0)
    os.remove(vm.machine:dumps()[1].path)
    vm.machine:dumps()[1]:remove()
    equal(#vm.machine:dumps(), 0)
    vm:advance(1000000000)
    -- The backend is free for another card.
    equal(vm.machine:device("e1000", { netdev = "u1" }).netdev.id, "u1")
end)

case("its interrupt goes down, its timers stop", function()
    local vm <close> = pc()
    local nic = vm.machine:device("e1000", { addr = "04.0" })
    config(vm, 4 << 3, 0x10, 0xe0000000)
    config(vm, 4 << 3, 4, 7)
    -- Route the pin: device 4 pin A is PIRQD; line 11 in PIIX3's register 63h.
    vm.io:write(0xcf8, 4, 0x80000000 | 1 << 11 | 0x60)
    vm.io:write(0xcfc, 4, 0x0b0b0b0b)
    local ioapic = vm:find { type = "ioapic" }[1]
    local line = ioapic:gpio_in(11)
    vm.memory:write(0xe00000d0, 4, 1 << 2) -- IMS
    vm.memory:write(0xe00000c8, 4, 1 << 2) -- ICS
    vm:advance(1000000)
    equal(line.level, true, "raised")
    nic:remove()
    equal(line.level, false, "lowered")
    vm:advance(10000000000)
end)

case("a hook may ask for a device to go, the device's own access included", function()
    local vm <close> = pc { cpus = 1 }
    local nic = vm.machine:device("e1000", { addr = "04.0" })
    local answer, after
    -- out 0x80 for ever
    vm.memory:write_bytes(0x7c00, "\xe6\x80\xeb\xfc")
    local cpu = vm.cpus[1]
    cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x7c00
    local hook
    hook = vm:on("pio", { port = 0x80 }, function()
        answer = nic:remove()
        hook:remove()
    end)
    vm:at(vm.clock.virtual.now + 1000000, function()
        after = tostring(nic)
        vm:pause()
    end)
    vm:run()
    equal(answer, false)
    equal(after, "closed device")
end)

case("hooks on lines of a device that goes are removed", function()
    local device = require "perilune.device"
    local vm <close> = pc()
    local d = vm.machine:device(device.define { name = "taker", parent = "pci-device",
        pci = { vendor = 1, device = 2, class = 0xff00 },
        gpio_in = { ["in"] = { count = 2, changed = function() end } } }, {})
    local line = d:gpio_in("in", 1)
    local hook = vm:on("irq", { line = line }, function() end)
    d:remove()
    equal(hook.installed, false)
    raises("closed irq line", function() line:set(true) end)
end)

case("what is soldered to the board stays", function()
    local vm <close> = pc()
    for _, type in ipairs { "PIIX3", "i440FX", "PIIX4_PM", "ioapic", "i440FX-pcihost", "isa-pit" } do
        raises("cannot be removed", function() vm:find({ type = type })[1]:remove() end)
    end
end)

case("networks", function()
    local vm <close> = pc { netdev = "user,id=u1" }
    local nic = vm.machine:device("e1000", { id = "n1", netdev = "u1" })
    local port = nic.netdev
    raises("used by /machine/peripheral/n1", function() port:remove() end)
    nic:remove()
    port:remove()
    raises("closed network port", function() return port.id end)
    equal(vm.machine:netdev({ type = "user", id = "u1" }).id, "u1", "the id is free again")
end)

check.finish()
