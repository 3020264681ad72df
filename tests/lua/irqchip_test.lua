-- Whose interrupt chips a PC has under KVM: docs/kvm.md. Without /dev/kvm only what is refused is looked at; guest
-- code and what needs a processor behind /dev/kvm is in tests/cpu/irqchip.S.
local check = require "check"
local uv = require "luv"
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
    raises("hpet: the timer in the kernel", perilune.machine, "pc",
        { memory = "16M", accel = "kvm", irqchip = "kernel", hpet = true })
    local vm = pc("auto")
    equal(vm.irqchip, "kernel")
    raises("cpu 0 has /machine/unattached/kvm-apic", function()
        vm.machine:device("kvm-apic", { cpu = 0 })
    end)
    raises("use irqchip=user", function()
        vm.machine:device("apic", { cpu = 0 })
    end)
    raises("use irqchip=user", function()
        vm.machine:device("isa-i8259", { cpu = 0, iobase = 0x120, elcr_addr = 0x5d0 })
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

-- ---- time over a pause ----

--- Real mode: the timer ticks every millisecond through the 8259A pair, a tick counts at 0x500 and leaves the TSC at
-- 0x510; the local APIC's timer counts down from its highest count, by 128.
local CODE = "\xfa\x31\xc0\x8e\xd8\x8e\xd0\xbc\x00\x70" -- cli; ds = ss = 0; sp = 0x7000
    .. "\xc7\x06\x20\x00\x00\x11\xc7\x06\x22\x00\x00\x00" -- vector 8: 0:0x1100
    .. "\xb0\x11\xe6\x20\xb0\x08\xe6\x21\xb0\x04\xe6\x21\xb0\x01\xe6\x21\xb0\xfe\xe6\x21"
    .. "\xb0\x34\xe6\x43\xb0\xa9\xe6\x40\xb0\x04\xe6\x40" -- channel 0: mode 2, 1193
    .. "\x66\xb9\x1b\x00\x00\x00\x0f\x32\x80\xcc\x0c\x0f\x30" -- x2APIC
    .. "\x66\x31\xd2\x66\xb9\x10\x00\x00\x00\x66\xb8\x00\x00\x00\x40\x0f\x30" -- the guest sets the TSC
    .. "\x66\xb9\x3e\x08\x00\x00\x66\xb8\x0a\x00\x00\x00\x0f\x30" -- divide by 128
    .. "\x66\xb9\x32\x08\x00\x00\x66\xb8\x70\x00\x01\x00\x0f\x30" -- masked
    .. "\x66\xb9\x38\x08\x00\x00\x66\xb8\xff\xff\xff\xff\x0f\x30" -- initial count
    .. "\xfb\xf4\xeb\xfd" -- sti; 1: hlt; jmp 1b
local TICK = "\xff\x06\x00\x05\x66\x50\x66\x52\x0f\x31\x66\xa3\x10\x05\x66\x89\x16\x14\x05" -- rdtsc
    .. "\xb0\x20\xe6\x20\x66\x5a\x66\x58\xcf" -- EOI
local NS_PER_COUNT = 128

--- Run for some real milliseconds; what there is to see then.
local function run_for(vm, ms)
    local timer = uv.new_timer()
    timer:start(ms, 0, function()
        vm:pause()
        timer:close()
    end)
    vm:run()
    equal(vm.state, "paused")
    return { now = vm.clock.virtual.now, ticks = vm.memory:read(0x500, 2), tsc = vm.memory:read(0x510, 8),
        count = find(vm, "kvm-apic"):state().regs[0x390 // 4 + 1] }
end

--- A PC with the kernel's chips that executes `code` at 0x1000, whose interrupts are TICK's: run in pieces of so many
-- real milliseconds until the first has come. Returns the vm, its cpu, and what there was to see then.
local function ticking(code, ms)
    local vm = pc("kernel")
    local cpu = vm.cpus[1]
    vm.memory:write_bytes(0x1000, code)
    vm.memory:write_bytes(0x1100, TICK)
    vm.memory:write(0x500, 2, 0)
    cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    local first
    for _ = 1, 50 do -- a busy host may not get to it soon
        first = first and first.ticks > 0 and first or run_for(vm, ms)
    end
    return vm, cpu, first
end

on_kvm("a cpu that sleeps in the kernel is woken by exceptions, NMIs and new registers, and reset", function()
    local function exits(status) -- mov al, status; out 0xf4, al; jmp $
        return "\xb0" .. string.char(status) .. "\xe6\xf4\xeb\xfe"
    end
    local vm = pc("kernel")
    local cpu = vm.cpus[1]
    local function asleep()
        vm:reset()
        vm.memory:write_bytes(0x1000, "\xfa\xf4" .. exits(1)) -- cli; hlt
        for _, vector in ipairs { 2, 6 } do
            vm.memory:write(vector * 4, 4, 0x1000 + 0x100 * vector)
            vm.memory:write_bytes(0x1000 + 0x100 * vector, exits(vector))
        end
        cpu.cs, cpu.cs_base, cpu.ss, cpu.ss_base, cpu.rsp, cpu.rip = 0, 0, 0, 0, 0x3000, 0x1000
        local timer, tries = uv.new_timer(), 0
        repeat
            timer:start(100, 0, function()
                vm:pause()
            end)
            vm:run()
            tries = tries + 1
        until cpu.rip ~= 0x1000 or tries == 50
        timer:close()
        equal(cpu.rip, 0x1002, "behind HLT")
        equal(vm.state, "paused")
    end
    local function ends(status)
        vm:run()
        equal(vm.exit_reason, "debug-exit")
        equal(vm.exit_status >> 1, status)
    end
    asleep()
    cpu:nmi()
    ends(2)
    asleep()
    cpu:inject(6)
    ends(6)
    asleep()
    cpu.rip = 0x1002
    ends(1)
    vm:close()
end)

on_kvm("what the guest sees of time stands still over a pause", function()
    local PAUSE, SLACK = 1000, 500 -- ms; a burst of what was missed, or time that ran on, would be more
    local vm, _, first = ticking(CODE, 100)
    local second = run_for(vm, 200)
    equal(first.ticks > 0 and second.ticks > first.ticks, true, "it ticks")
    equal(second.count < first.count, true, "the local APIC's timer counts")
    local tsc_per_ms = (second.tsc - first.tsc) * 1000000 // (second.now - first.now)
    equal(find(vm, "kvm-apic"):state().regs[0x390 // 4 + 1], second.count, "it stands still")
    local timer, over = uv.new_timer(), false
    timer:start(PAUSE, 0, function()
        over = true
        timer:close()
    end)
    perilune.wait(function()
        return over
    end)
    equal(find(vm, "kvm-apic"):state().regs[0x390 // 4 + 1], second.count)
    equal(vm.clock.virtual.now, second.now)
    local third = run_for(vm, 200)
    local ran = (third.now - second.now) // 1000000
    local function within(name, ms)
        equal(ms <= ran + SLACK, true, ("%s: %d ms in %d"):format(name, ms, ran))
        equal(ms > 0, true, name .. " goes on")
    end
    within("ticks", third.ticks - second.ticks)
    if first.tsc // tsc_per_ms > 3600000 then -- it was at 0 when the machine started
        print("skipped: the TSC: this host's KVM shows guests its own, whatever offset it is given")
    else
        within("TSC", (third.tsc - second.tsc) // tsc_per_ms)
    end
    within("local APIC", (second.count - third.count) * NS_PER_COUNT // 1000000)
    vm:close()
end)

on_kvm("a step does not wander into the handler of an interrupt that waits in the kernel's chips", function()
    local code = CODE:sub(1, CODE:find("\x66\xb9\x1b", 1, true) - 1) -- the pair and the timer
        .. "\xfb\x40\x43\xeb\xfc" -- sti; 1: inc ax; inc bx; jmp 1b
    local LOOP = 0x1000 + #code - 4
    local vm, cpu, before = ticking(code, 50)
    equal(before.ticks > 0, true, "it ticks")
    for _ = 1, 50 do -- out of the handler, if it stands in there
        if cpu.rip < LOOP or cpu.rip > LOOP + 2 then
            vm:step(1)
        end
    end
    local ticks = vm.memory:read(0x500, 2)
    local ended = uv.hrtime() + 50 * 1000000 -- in which many ticks fall due
    local steps = 0
    while uv.hrtime() < ended or steps < 100 do
        vm:step(1)
        steps = steps + 1
        if cpu.rip < LOOP or cpu.rip > LOOP + 2 then
            error(("step %d is at 0x%x, the loop at 0x%x"):format(steps, cpu.rip, LOOP))
        end
    end
    equal(vm.memory:read(0x500, 2), ticks, "no handler ran")
    for _ = 1, 50 do
        if vm.memory:read(0x500, 2) == ticks then
            run_for(vm, 50)
        end
    end
    equal(vm.memory:read(0x500, 2) > ticks, true, "it goes on ticking")
    vm:close()
end)

check.finish()
