-- Every event is fired by something that is tested: by what is poked here, by Debian's kernel (where
-- it is in the cache), or it is in the list of those that neither does.
local check = require "check"
local uv = require "luv"

local cache = os.getenv("PERILUNE_CACHE")
    or (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or "") .. "/.cache") .. "/perilune"
local dir = uv.fs_mkdtemp("/tmp/perilune-events-XXXXXX")
local fired = {}

--- Note the names in what a machine has written.
local function collect(path)
    for line in io.lines(path) do
        fired[line:match("^%S+ %S+ %S+ (%S+)")] = true
    end
    uv.fs_unlink(path)
end

--- Needs more than is done here: a cpu that takes level interrupts, slow sockets, a full cache of
-- code, /dev/kvm, ...
local elsewhere = {}
for name in ([[apic.error apic.icr apic.signal chardev.drop e1000.irq e1000.rx_desc e1000.rx_frame
    e1000.throttle i8259.ack i8259.spurious ioapic.eoi kvm.eoi kvm.exit kvm.interrupt kvm.line kvm.mmio kvm.msi
    kvm.pio link.queue
    link.drop pci.intx piix3.pirq rtc.flags slirp.hold soft.code_flush vm.idle_sleep
    serial.overrun]]):gmatch("%S+") do
    elsewhere[name] = true
end

--- What a kernel without a RAM disk does, and nothing that is poked here.
local by_kernel = {}
for name in ([[apic.accept apic.ack apic.eoi apic.msi apic.timer apic.timer_set
    i8042.command i8042.read i8042.write ioapic.redir ioapic.send irq.lower
    irq.raise piix3.route soft.code_dropped soft.exception soft.interrupt
    soft.msr_write soft.tlb_flush_page vm.idle_skip]]):gmatch("%S+") do
    by_kernel[name] = true
end

local function config_write(vm, devfn, offset, size, value)
    vm.io:write(0xcf8, 4, 0x80000000 | devfn << 8 | offset & 0xfc)
    vm.io:write(0xcfc + (offset & 3), size, value)
end

local function poke_network(vm, bar, card)
    local m = vm.memory
    config_write(vm, math.tointeger(tonumber(card.addr:match("^%x+"), 16)) << 3, 4, 2, 7)
    -- An ARP request for the gateway, sent by one descriptor.
    m:write_bytes(0x3000, ("\xff"):rep(6) .. "\x52\x54\0\x12\x34\x56\x08\x06\0\1\x08\0\6\4\0\1"
        .. "\x52\x54\0\x12\x34\x56\x0a\0\2\x0f\0\0\0\0\0\0\x0a\0\2\2")
    m:write_bytes(0x2000, string.pack("<I8I8", 0x3000, 42 | 0x0b << 24))
    m:write(bar, 4, 0x04000000) -- CTRL.RST
    m:write(bar, 4, 0x40)
    vm:advance(5000000000) -- until the link is up
    for _, row in ipairs { { 0x3800, 0x2000 }, { 0x3808, 128 }, { 0x0400, 2 }, { 0x3818, 1 } } do
        m:write(bar + row[1], 4, row[2])
    end
    vm:advance(1000000000) -- the answer comes in by the door
    m:read(bar + 8, 4)
    m:read(bar, 1)
    vm:links()[1].up = false
end

check.case("what is poked", function()
    local path = dir .. "/poked"
    local vm = perilune.machine("pc", { cpus = 0, nic = "user", serial = "ring",
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
        { 0x3fb, 0x80 }, { 0x3f8, 1 }, { 0x3fb, 3 }, { 0x3fa, 0xc1 }, { 0x3f8, 65 } } do
        vm.io:write(row[1], 1, row[2])
    end
    vm.io:read(0x71, 1)
    vm:chardevs()[1]:write("x")
    vm:advance(1000000000)
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

local has_kernel = uv.fs_stat(cache .. "/vmlinuz") ~= nil
if has_kernel then
    -- Each event is listened to until it comes, so that the boot takes as long as one that is not traced.
    check.case("what Debian's kernel does", function()
        local vm = perilune.machine("pc", { kernel = cache .. "/vmlinuz", memory = "256M",
            idle = "warp", append = "console=ttyS0 panic=-1", reboot = false })
        for _, event in ipairs(perilune.trace.events()) do
            local hook
            hook = vm:trace(event.name, function()
                fired[event.name] = true
                hook:remove()
            end)
        end
        vm:run()
        vm:close()
    end)
else
    print("the kernel is not in " .. cache .. ": scripts/fetch-guest fetches it; not tried: "
        .. "what it alone fires")
end

check.case("every event is fired, or known not to be", function()
    local silent, known = {}, {}
    for _, event in ipairs(perilune.trace.events()) do
        local name = event.name
        known[name] = true
        if not fired[name] and not elsewhere[name] and (has_kernel or not by_kernel[name]) then
            silent[#silent + 1] = name
        end
    end
    print("not fired here: " .. table.concat(require("perilune.util").sorted_keys(elsewhere), " "))
    check.equal(table.concat(silent, " "), "", "events that nothing fires")
    for _, list in ipairs { fired, elsewhere, by_kernel } do
        for name in pairs(list) do
            check.equal(known[name], true, name)
        end
    end
end)

uv.fs_rmdir(dir)
check.finish()
