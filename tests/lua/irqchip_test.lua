-- Whose interrupt chips a PC has under KVM: docs/kvm.md. Without /dev/kvm only what is refused is looked at; guest
-- code and what needs a processor behind /dev/kvm is in tests/cpu/irqchip.S.
local check = require "check"
local good = require "monitor_lines".good

local equal, raises = check.equal, check.raises

local function pc(irqchip, accel)
    return perilune.machine("pc", { memory = "16M", accel = accel or "kvm", irqchip = irqchip,
        serial = "ring" })
end

local there, problem = pcall(function()
    pc("user"):close()
end)

--- A case that needs a KVM with such chips.
local function on_kvm(name, f)
    check.case(name, function()
        if not there then
            print("skipped: " .. tostring(problem))
            return
        end
        f()
    end)
end

local function find(vm, type)
    return vm:find { type = type }[1]
end

--- Bit `n` of a word of the local APIC at `offset`, in the sets of vectors.
local function vector_set(vm, offset, n)
    local regs = find(vm, "kvm-apic"):state().regs
    return regs[(offset + n // 32 * 16) // 4 + 1] >> n % 32 & 1 == 1
end

check.case("the software cpu has the machine's own chips", function()
    for _, word in ipairs { "kernel", "split" } do
        raises("use irqchip=user, or --accel kvm", pc, word, "soft")
    end
    for _, word in ipairs { "auto", "user" } do
        local vm = pc(word, "soft")
        equal(vm.irqchip, "user")
        equal(vm:supports("hook.irq.chips"), true)
        raises("accel=kvm, a cpu and irqchip=kernel", function()
            vm.machine:device("kvm-pit")
        end)
        vm:close()
    end
    raises('has no property "irqchip"', perilune.machine, "minimal", { irqchip = "user" })
end)

on_kvm("one word picks the types", function()
    local wanted = {
        user = { "isa-i8259", "ioapic", "apic", "isa-pit" },
        split = { "isa-i8259", "ioapic", "kvm-apic", "isa-pit" },
        kernel = { "kvm-pic", "kvm-ioapic", "kvm-apic", "kvm-pit" },
    }
    for word, types in pairs(wanted) do
        local vm = pc(word)
        equal(vm.irqchip, word)
        equal(vm:supports("hook.irq.chips"), word == "user")
        for _, type in ipairs(types) do
            equal(find(vm, type) ~= nil, true, word .. " has " .. type)
        end
        vm:close()
    end
    local vm = pc("auto")
    equal(vm.irqchip, "kernel")
    raises("cpu 0 has /machine/unattached/kvm-apic", function()
        vm.machine:device("kvm-apic", { cpu = 0 })
    end)
    raises("the kernel has one pair only", function()
        vm.machine:device("kvm-pic")
    end)
    vm:close()
end)

on_kvm("lines reach the kernel's chips, and are read back", function()
    local vm = pc("kernel")
    local pic, ioapic = find(vm, "kvm-pic"), find(vm, "kvm-ioapic")
    find(vm, "PIIX3"):gpio_in("isa-irq", 4):set(true)
    equal(pic:state()["master.irr"], 0x10)
    equal(ioapic:state().irr, 0x10)
    find(vm, "PIIX3"):gpio_in("isa-irq", 12):set(true)
    equal(pic:state()["slave.irr"], 0x10)
    equal(pic:state()["master.irr"], 0x14, "the cascade")
    equal(ioapic:state().irr, 0x1010)
    equal(vm.io:read(0x20, 1), 0x14)
    vm:reset() -- a line that stays up is no edge
    equal(pic:state()["master.irr"], 0)
    find(vm, "PIIX3"):gpio_in("isa-irq", 4):set(false)
    equal(ioapic:state().irr, 0x1000)
    vm:close()
end)

on_kvm("registers from outside", function()
    local vm = pc("kernel")
    equal(vm.io:read(0x4d0, 2), 0x0e00, "set by the firmware's part")
    equal(find(vm, "kvm-pic"):state()["slave.elcr"], 0x0e)
    vm.io:write(0x21, 1, 0xfb)
    equal(vm.io:read(0x21, 1), 0xfb)
    vm.memory:write(0xfec00000, 4, 1)
    equal(vm.memory:read(0xfec00010, 4), 0x170011)
    vm.memory:write(0xfec00000, 4, 0x10)
    equal(vm.memory:read(0xfec00010, 4), 0x10000)
    vm:close()
end)

on_kvm("messages", function()
    for _, word in ipairs { "kernel", "split" } do
        local vm = pc(word)
        vm.memory:write(0xfee00000, 4, 0x61) -- not by a cpu: to the one whose id is 0
        equal(vector_set(vm, 0x200, 0x61), true, word)
        equal(vector_set(vm, 0x200, 0x62), false)
        vm:reset()
        equal(vector_set(vm, 0x200, 0x61), false)
        vm:close()
    end
end)

on_kvm("a line can be tapped at the kernel's inputs, and between its chips not", function()
    local vm = pc("kernel")
    local line = find(vm, "kvm-ioapic"):gpio_in(4)
    local seen = 0
    vm:on("irq", { line = line }, function()
        seen = seen + 1
        return false
    end)
    find(vm, "PIIX3"):gpio_in("isa-irq", 4):set(true)
    equal(seen, 1)
    equal(find(vm, "kvm-ioapic"):state().irr, 0, "it is lost")
    equal(find(vm, "kvm-pic"):state()["master.irr"], 0x10, "there it is not")
    for _, hidden in ipairs { find(vm, "kvm-apic"):gpio_in("lint", 0), find(vm, "kvm-pic"):gpio_in(0),
        find(vm, "kvm-ioapic"):gpio_in(2), find(vm, "PIIX3"):gpio_in("isa-irq", 0) } do
        raises("use irqchip=user", vm.on, vm, "irq", { line = hidden }, function() end)
    end
    vm:close()
    vm = pc("split")
    vm:on("irq", { line = find(vm, "kvm-apic"):gpio_in("lint", 0) }, function() end):remove()
    vm:close()
end)

on_kvm("the monitor shows them", function()
    for _, word in ipairs { "kernel", "split" } do
        local vm = pc(word)
        rawset(_G, "vm", vm) -- the monitor's
        local pic, lapic = good("info pic"), good("info lapic")
        rawset(_G, "vm", nil)
        equal(pic:match("pic0: irr=%x+ imr=%x+ isr=%x+ hprio=%d irq_base=%x+ rr_sel=%d elcr=(%x+)"), "00")
        equal(pic:match("pic1: .- elcr=(%x+)"), "0e")
        equal(pic:match("pin 23 0x00 dest=0 vec=0 active%-hi edge masked fixed physical") ~= nil, true)
        equal(lapic:match("LVT0%s+(0x%x+)"), "0x00000700")
        equal(lapic:match("SPIV%s+(0x%x+) APIC enabled"), "0x000001ff")
        vm:close()
    end
end)

check.finish()
