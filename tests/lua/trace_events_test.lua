-- Every event is fired by what is poked here, or it is in the list of those that need what is not there.
local bare = require "bare"
local check = require "check"
local uv = require "luv"

local dir = uv.fs_mkdtemp("/tmp/perilune-events-XXXXXX")
local fired = {}

--- Note the names in what a machine has written.
local function collect(path)
    for line in io.lines(path) do
        fired[line:match("^%S+ %S+ %S+ (%S+)")] = true
    end
    uv.fs_unlink(path)
end

--- What needs a KVM that works, of which a test of its own has the proof.
local elsewhere = {}
for name in ("kvm.eoi kvm.exit kvm.interrupt kvm.line kvm.mmio kvm.msi kvm.pio"):gmatch("%S+") do
    elsewhere[name] = true
end

local function config_write(vm, devfn, offset, size, value)
    vm.io:write(0xcf8, 4, 0x80000000 | devfn << 8 | offset & 0xfc)
    vm.io:write(0xcfc + (offset & 3), size, value)
end

--- The card takes frames: eight descriptors at 0x4000, interrupts on and throttled.
local function receive(m, bar)
    for i = 0, 7 do
        m:write_bytes(0x4000 + 16 * i, string.pack("<I8I8", 0x5000 + 0x800 * i, 0))
    end
    for _, row in ipairs { { 0x2800, 0x4000 }, { 0x2808, 128 }, { 0x2810, 0 }, { 0x2818, 7 },
        { 0x00c4, 1000 }, { 0x00d0, 0x9f }, { 0x0100, 0x801a } } do
        m:write(bar + row[1], 4, row[2])
    end
end

local function poke_network(vm, bar, card)
    local m, link = vm.memory, vm:links()[1]
    config_write(vm, math.tointeger(tonumber(card.addr:match("^%x+"), 16)) << 3, 4, 2, 7)
    -- An ARP request for the gateway, sent by one descriptor.
    m:write_bytes(0x3000, ("\xff"):rep(6) .. "\x52\x54\0\x12\x34\x56\x08\x06\0\1\x08\0\6\4\0\1"
        .. "\x52\x54\0\x12\x34\x56\x0a\0\2\x0f\0\0\0\0\0\0\x0a\0\2\2")
    m:write_bytes(0x2000, string.pack("<I8I8", 0x3000, 42 | 0x0b << 24))
    m:write(bar, 4, 0x04000000) -- CTRL.RST
    m:write(bar, 4, 0x40)
    vm:advance(5000000000) -- until the link is up
    local frame = ("\xff"):rep(6) .. ("\x52"):rep(6) .. "\x88\xb5" .. ("x"):rep(50)
    link:send("net0", frame) -- before the receiver is on
    receive(m, bar)
    vm:advance(1000)
    for _ = 1, 2 do
        link:send("net0", frame)
        m:read(bar + 0xc0, 4) -- ICR: the second interrupt comes too soon
    end
    for _, row in ipairs { { 0x3800, 0x2000 }, { 0x3808, 128 }, { 0x0400, 2 }, { 0x3818, 1 } } do
        m:write(bar + row[1], 4, row[2])
    end
    vm:advance(1000000000) -- the answer comes in by the door
    m:read(bar + 8, 4)
    m:read(bar, 1)
    local arp = m:read_bytes(0x3000, 42)
    for _ = 1, 200 do -- more questions at once than answers may be on their way
        link:send("nic0", arp)
    end
    vm:advance(1000000000)
    for _ = 1, 40 do -- more than the card's memory holds: the link keeps the rest
        link:send("net0", frame .. ("x"):rep(1436))
    end
    link.up = false
    link:send("net0", frame)
end

check.case("what is poked", function()
    local path = dir .. "/poked"
    local vm = perilune.machine("pc", { cpus = 0, nic = "user", serial = "ring", hpet = true,
        trace = "*,file=" .. path })
    local bar
    vm:trace("pci.bar_map", function(_, _, n, io, addr)
        bar = n == 0 and not io and addr or bar
    end)
    vm:reset()
    local card = vm:find { type = "e1000" }[1]
    poke_network(vm, bar, card)
    vm.memory:read(0xd0000000, 4)
    vm.memory:write(0xd0000000, 4, 0)
    for _, row in ipairs { { 0x92, 2 }, { 0x92, 0 }, { 0x61, 1 }, { 0x61, 0 }, { 0x43, 0x36 },
        { 0x40, 0 }, { 0x40, 1 }, { 0x20, 0x11 }, { 0x21, 8 }, { 0x21, 4 }, { 0x21, 1 },
        { 0x21, 0 }, { 0x20, 0x20 }, { 0x80, 1 }, { 0x70, 10 }, { 0x71, 0x26 }, { 0xb2, 0xf1 },
        { 0x64, 0x60 }, { 0x60, 0x41 }, { 0x3fb, 0x80 }, { 0x3f8, 1 }, { 0x3fb, 3 }, { 0x3fa, 0xc1 }, { 0x3f8, 65 } } do
        vm.io:write(row[1], 1, row[2])
    end
    for _, row in ipairs { { 0x100, 0x104 }, { 0x108, 100 }, { 0x10, 1 } } do -- HPET, timer 0, 32 bits
        vm.memory:write(0xfed00000 + row[1], 4, row[2])
    end
    vm.io:read(0x71, 1)
    vm.io:read(0x64, 1)
    vm.io:read(0x60, 1)
    vm.io:write(0x70, 1, 12)
    vm.io:read(0x71, 1) -- its flags are clear
    vm.io:write(0x70, 1, 11)
    vm.io:write(0x71, 1, 0x42) -- the clock's periodic interrupt
    local serial = vm:chardevs()[1]
    serial:write "x"
    vm:advance(1000000000)
    vm.io:write(0x3fa, 1, 0) -- without a FIFO, in a loop: nobody reads the first
    vm.io:write(0x3fc, 1, 0x10)
    for _ = 1, 2 do
        vm.io:write(0x3f8, 1, 65)
        vm:advance(1000000000)
    end
    for _ = 1, 3 do -- more than the guest reads
        serial:write(("x"):rep(600000))
        vm:advance(1000)
    end
    local pm = vm:find { type = "PIIX4_PM" }[1]
    config_write(vm, 0, 0x72, 1, 0x4a) -- SMRAM opens
    vm.io:write(0x603, 1, 1) -- PMEN: the button
    vm.io:write(0x704, 1, 0xa0)
    vm.io:write(0x702, 1, 0x40)
    pm:gpio_in("power-button", 0):pulse()
    pm:gpio_in("gpe", 0):pulse()
    vm:on("pio", { port = 0x80 }, function() end)
    vm.io:write(0x80, 1, 1)
    card:remove()
    vm.io:write(0x605, 1, 0x20) -- SUS_EN: S5
    vm:close()
    collect(path)
end)

check.case("what a program does on the software cpu", function()
    local path = dir .. "/program"
    local vm = perilune.machine("minimal", { idle = "warp", serial = "ring",
        trace = "*,file=" .. path })
    vm:on_reset(function() -- mov eax, cr0; or al, 1; mov cr0, eax; mov al, 0; out 0xf4, al; hlt
        vm.memory:write_bytes(0x1000, "\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\xb0\0\xe6\xf4\xf4\xeb\xfd")
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    vm:run()
    vm:close()
    collect(path)
end)

check.case("what a halted cpu does", function()
    local path = dir .. "/halt"
    local vm = perilune.machine("minimal", { idle = "warp", trace = "*,file=" .. path })
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, "\xf4")
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    vm:at(1000, function()
        vm:stop("enough")
    end)
    vm:run()
    vm:close()
    collect(path)
end)

--- Real-mode code at 0x1000 of a pc, with an IRET for each vector and the local APIC as the data segment. It has so
-- much time as a loop of exceptions or interrupts, every event of which is written, takes up little of the test's.
local function on_apic(name, code, prepare, time)
    local path = dir .. "/" .. name
    local vm = perilune.machine("pc", { idle = "warp", nic = "none", trace = "*,file=" .. path })
    vm:on_reset(function()
        vm.memory:write_bytes(0, string.pack("<I2I2", 0x1100, 0):rep(256))
        vm.memory:write_bytes(0x1000, code)
        -- push ax; mov al, 0x20; out 0x20, al; pop ax; movl $0, [0xb0] (EOI); iret
        vm.memory:write_bytes(0x1100, "\x50\xb0\x20\xe6\x20\x58\x66\xc7\x06\xb0\0\0\0\0\0\xcf")
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip, cpu.rsp = 0, 0, 0x1000, 0x8000
        cpu.ds_base = 0xfee00000
    end)
    vm:reset()
    if prepare then
        prepare(vm)
    end
    vm:at(time or "10ms", function()
        vm:stop("enough")
    end)
    vm:run()
    vm:close()
    collect(path)
end

local HALT = "\xfb\xf4\xeb\xfd" -- sti; hlt; jmp to hlt

--- movl $value, register of the local APIC
local function apic(register, value)
    return "\x66\xc7\x06" .. string.pack("<I2I4", register, value)
end

check.case("interrupts of a real-mode program", function()
    on_apic("pic", HALT, function(vm)
        for _, row in ipairs { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0xfe },
            { 0x43, 0x34 }, { 0x40, 0 }, { 0x40, 0x10 } } do
            vm.io:write(row[1], 1, row[2])
        end
    end)
    -- SVR on; a message with vector 5, which there is not.
    on_apic("apic", apic(0xf0, 0x1ff) .. apic(0x300, 0x40005) .. HALT)
    -- RSM is the whole handler of an SMI.
    on_apic("smi", apic(0xf0, 0x1ff) .. apic(0x300, 0x4200) .. HALT, function(vm)
        vm.memory:write_bytes(0x38000, "\x0f\xaa")
    end)
    on_apic("timer", apic(0xf0, 0x1ff) .. apic(0x320, 0x31) .. apic(0x380, 1000) .. HALT)
    -- wrmsr of the TSC, invlpg, an instruction that there is not: again and again
    on_apic("system", "\x66\xb9\x10\0\0\0\x0f\x30\x0f\x01\x3e\0\0\x0f\x0b", nil, "20us")
    on_apic("ioapic", apic(0xf0, 0x1ff) .. HALT, function(vm)
        local function redirect(index, value)
            vm.memory:write(0xfec00000, 4, index)
            vm.memory:write(0xfec00010, 4, value)
        end
        local pin = vm:find { type = "ioapic" }[1]:gpio_in("", 19)
        redirect(0x10 + 2 * 19 + 1, 0)
        redirect(0x10 + 2 * 19, 0x8030) -- level, vector 0x30
        redirect(0x10 + 2 * 20 + 1, 0)
        redirect(0x10 + 2 * 20, 0x700) -- ExtINT: a vector of the 8259A, which has none
        vm:at(1000000, function()
            pin:set(true)
        end)
        vm:at(1020000, function()
            pin:set(false)
            vm:find { type = "ioapic" }[1]:gpio_in("", 20):set(true)
        end)
    end)
end)

check.case("a cpu that waits in real time", function()
    local path = dir .. "/sleep"
    local vm = bare.program("\xf4\xeb\xfd", { idle = "sleep", trace = "*,file=" .. path })
    vm:at(2000000, function()
        vm:stop("enough")
    end)
    vm:run()
    vm:close()
    collect(path)
end)

check.case("a program that writes itself until the cache of its decoded code is full", function()
    local vm = bare.program("\x66\xb9\x00\x00\x10\x00" -- 1000 mov ecx, 0x100000
        .. "\xb0\x00"                                    -- 1006 mov al, 0
        .. "\xfe\x06\x07\x10"                            -- 1008 inc byte [0x1007]
        .. "\x66\x49\x75\xf6" .. bare.EXIT)              -- 100c dec ecx; jnz 0x1006
    local once
    once = vm:trace("soft.code_dropped", function(event)
        fired[event] = true
        once:remove()
    end)
    vm:trace("soft.code_flush", function(event)
        fired[event] = true
        return "stop"
    end)
    vm:run()
    vm:close()
end)

check.case("every event is fired, or known not to be", function()
    local silent, known = {}, {}
    for _, event in ipairs(perilune.trace.events()) do
        local name = event.name
        known[name] = true
        if not fired[name] and not elsewhere[name] then
            silent[#silent + 1] = name
        end
    end
    print("not fired here, for want of a KVM that works: "
        .. table.concat(require("perilune.util").sorted_keys(elsewhere), " "))
    check.equal(table.concat(silent, " "), "", "events that nothing fires")
    for _, list in ipairs { fired, elsewhere } do
        for name in pairs(list) do
            check.equal(known[name], true, name)
        end
    end
end)

uv.fs_rmdir(dir)
check.finish()
