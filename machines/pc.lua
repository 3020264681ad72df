-- The PC that everybody knows: i440FX and PIIX3, wired as the boards were.
--
-- Two interrupt systems live side by side: the 8259A pair, whose INT output reaches LINT0 of the
-- boot cpu's local APIC, and the I/O APIC. Every ISA line goes to both. Under KVM the kernel may have
-- these chips: they are wired the same.
local firmware = require "perilune.boot.pc"
local util = require "perilune.util"

local BELOW_4G = 0xc0000000 -- RAM beyond 3 GiB continues at 4 GiB: devices live in between
local IOAPIC_ADDRESS = 0xfec00000
local HPET_ADDRESS, HPET_FIRST_ROUTE = 0xfed00000, 16
local FIRST_NIC_SLOT = 3
local PME_GPE = 11 -- as Intel's later chips have it; perilune.boot.pc tells the guest
local ISA_LINES, CASCADE, TIMER, CLOCK = 16, 2, 0, 8

local function memory(m, p)
    local ram = m:ram("pc.ram", p.memory)
    local below = math.min(p.memory, BELOW_4G)
    m.memory:map(0, ram:alias("ram-below-4g", 0, below), 0)
    if p.memory > below then
        m.memory:map(1 << 32, ram:alias("ram-above-4g", below, p.memory - below), 0)
    end
    return ram
end

--- The 8259A pair; the slave hangs on line 2 of the master. Returns the chip that asks the cpu, and
-- the pair's input for a line.
local function pair(m)
    local slave = m:device("isa-i8259", { iobase = 0xa0, elcr_addr = 0x4d1, elcr_mask = 0xde,
        master = false })
    local master = m:device("isa-i8259", { iobase = 0x20, elcr_addr = 0x4d0, elcr_mask = 0xf8,
        slave = slave })
    slave:connect(0, master:gpio_in(CASCADE))
    return master, function(n)
        return n < 8 and master:gpio_in(n) or slave:gpio_in(n - 8)
    end
end

--- The pair in the kernel is one device.
local function kernel_pair(m)
    local pic = m:device("kvm-pic")
    return pic, function(n)
        return pic:gpio_in(n)
    end
end

--- Whose chips the machine has, by its irqchip.
local chips = {
    user = { pic = pair, ioapic = "ioapic", apic = "apic", pit = "isa-pit" },
    split = { pic = pair, ioapic = "ioapic", apic = "kvm-apic", pit = "isa-pit" },
    kernel = { pic = kernel_pair, ioapic = "kvm-ioapic", apic = "kvm-apic", pit = "kvm-pit" },
}

--- Line n of the ISA bus drives input n of the 8259As and of the I/O APIC; but the timer is on pin
-- 2 there.
local function isa_lines(m, south, pic_in, ioapic, hpet)
    local splitter = m:device("irq-splitter", { ["num-lines"] = ISA_LINES })
    local legacy = hpet and { [TIMER] = 0, [CLOCK] = 1 } or {}
    for n = 0, ISA_LINES - 1 do
        if legacy[n] then
            south:connect("isa-irq", n, hpet:gpio_in("legacy-in", legacy[n]))
            hpet:connect("legacy", legacy[n], splitter:gpio_in(n))
        else
            south:connect("isa-irq", n, splitter:gpio_in(n))
        end
        if n ~= CASCADE then
            splitter:connect("a", n, pic_in(n))
            splitter:connect("b", n, ioapic:gpio_in(n == TIMER and 2 or n))
        end
    end
end

--- The event timers: the lines of timer and clock pass through them, and the inputs of the I/O APIC
-- that the ISA bus leaves free are theirs.
local function event_timers(m, p, ioapic)
    if p.irqchip == "kernel" then
        util.fail("hpet: the timer in the kernel would go on beside it; use irqchip=split or irqchip=user")
    end
    local hpet = m:device("hpet")
    hpet:map(0, HPET_ADDRESS)
    for pin = HPET_FIRST_ROUTE, 23 do
        hpet:connect(pin, ioapic:gpio_in(pin))
    end
    return hpet
end

local function build(m, p)
    local ram = memory(m, p)
    local host = m:device("i440FX-pcihost", { ram = ram })
    local pci = host.bus["pci.0"]
    local south = pci:device("PIIX3", { addr = "01.0" })

    local chip = chips[p.irqchip]
    local pic, pic_in = chip.pic(m)
    local ioapic = m:device(chip.ioapic)
    ioapic:map(0, IOAPIC_ADDRESS)
    isa_lines(m, south, pic_in, ioapic, p.hpet and event_timers(m, p, ioapic))
    for cpu = 0, p.cpus - 1 do
        local apic = m:device(chip.apic, { cpu = cpu, extint = pic })
        if cpu == 0 then
            pic:connect(0, apic:gpio_in("lint", 0))
        end
    end

    local isa = south.bus["isa.0"]
    isa:device("mc146818rtc")
    local pit = isa:device(chip.pit)
    pit:connect(0, south:gpio_in("isa-irq", TIMER))
    isa:device("isa-pcspk", { pit = pit })
    for _, port in ipairs(p.serials) do
        isa:device("isa-serial", port)
    end
    local keyboard = isa:device("i8042")
    isa:device("ioport80")
    isa:device("isa-debug-exit")
    local port92 = isa:device("port92")

    local a20 = m:device("a20-gate", { ["num-lines"] = 2 })
    port92:connect("a20", 0, a20:gpio_in(0))
    keyboard:connect("a20", 0, a20:gpio_in(1))

    local pm = pci:device("PIIX4_PM", { addr = "01.3" })
    pm:connect("sci", 0, south:gpio_in("isa-irq", 9))
    host:connect("pme", 0, pm:gpio_in("gpe", PME_GPE))
end

return machine.define {
    name = "pc",
    desc = "i440FX + PIIX3 PC",
    props = {
        irqchip = { "enum", "auto", values = { "auto", "kernel", "split", "user" },
            help = "who has the interrupt chips and the timer: the host's kernel, the kernel the local "
                .. "APICs alone, or this machine; auto is kernel with accel=kvm" },
        hpet = { "bool", false, help = "high precision event timers at 0xfed00000" },
    },
    build = build,
    post = firmware.post,
    nic = function(m, _, nic, index)
        nic.addr = nic.addr or ("%02x.0"):format(FIRST_NIC_SLOT + index)
        local model = nic.model or "e1000"
        nic.model = nil
        m:device(model, nic)
    end,
}
