-- ACPI tables of a PC, made from a description of the machine: ACPI specification 6.4, chapter 5
-- (tables) and 6 (configuration objects).
--
-- M.build(description) knows nothing of where the description comes from; perilune.boot.pc gathers
-- it from the machine as defined. Its fields, all but those marked optional needed:
--   cpus       list of { apic_id = n }
--   lapic      address of the local APICs
--   ioapics    list of { id = n, address = n, gsi_base = n }
--   overrides  optional: list of { irq, gsi, flags }; M.overrides is the PC's
--   pm         { base, gpe0, gpe0_length, sci, smi_command, acpi_enable, acpi_disable, s5,
--                pme = number of the event of PCI's PME#, optional }
--   reset      optional: { port, value } of a register that resets the machine
--   pci        { io = { {first, last} … }, memory = { {first, last} … },
--                isa = devfn of the PIIX3 or nil,
--                link_irqs = list of the interrupts that a PIRQ may be routed to }
--   isa        list of { kind = "serial", iobase, irq } and
--                { kind = "rtc"|"i8042"|"pit"|"pic"|"speaker" }
--   hpet       optional: { address, id = low half of its capabilities register }
--   century    optional: index of the century in the RTC's RAM
--   top        the tables end at or below this address
-- The result has base, size and bytes of the tables, rsdp (its bytes) and tables: name → { address,
-- bytes }.

local aml = require "perilune.boot.aml"

local M = {}

local pack = string.pack

local OEM_ID, OEM_TABLE, CREATOR = "PRLUNE", "PERILUNE", "PRLN"

-- MADT override flags: bits 1:0 polarity (01 high), 3:2 trigger (11 level); 0: as the bus has it.
local LEVEL_HIGH = 0x0d

--- Timer to pin 2, where it is wired; the PCI interrupts and the SCI are level-triggered.
M.overrides = {
    { 0, 2, 0 }, { 5, 5, LEVEL_HIGH }, { 9, 9, LEVEL_HIGH },
    { 10, 10, LEVEL_HIGH }, { 11, 11, LEVEL_HIGH },
}

local function checksum(bytes)
    local sum = 0
    for i = 1, #bytes do
        sum = sum + bytes:byte(i)
    end
    return -sum & 0xff
end

--- A table: header, body, and the byte that makes the sum 0.
local function sdt(signature, revision, body)
    local function header(sum)
        return pack("<c4I4BBc6c8I4c4I4", signature, 36 + #body, revision, sum, OEM_ID, OEM_TABLE, 1,
            CREATOR, 1)
    end
    return header(checksum(header(0) .. body)) .. body
end

--- Generic address structure, 5.2.3.2: system I/O space.
local function gas_io(port, bits)
    if not port then
        return ("\0"):rep(12)
    end
    local access = ({ [8] = 1, [16] = 2, [32] = 3 })[bits]
    return pack("<BBBBi8", 1, bits, 0, access, port)
end

-- FADT flags, table 5.10.
local FLAG_WBINVD, FLAG_PROC_C1, FLAG_SLP_BUTTON, FLAG_RESET = 1 << 0, 1 << 2, 1 << 5, 1 << 10
-- IA-PC boot flags, table 5.11.
local BOOT_LEGACY, BOOT_8042, BOOT_NO_VGA = 1 << 0, 1 << 1, 1 << 2

local function has_isa(d, kind)
    for _, dev in ipairs(d.isa) do
        if dev.kind == kind then
            return true
        end
    end
    return false
end

--- Revision 3, which has the 64-bit fields and the reset register.
local function fadt(d, facs, dsdt)
    local pm, reset = d.pm, d.reset
    local flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_SLP_BUTTON | (reset and FLAG_RESET or 0)
    local boot = BOOT_LEGACY | BOOT_NO_VGA | (has_isa(d, "i8042") and BOOT_8042 or 0)
    local pm1_evt, pm1_cnt, timer = pm.base, pm.base + 4, pm.base + 8
    local body = pack("<I4I4BBI2I4BBBB", facs, dsdt, 0, 0, pm.sci, pm.smi_command, pm.acpi_enable,
        pm.acpi_disable, 0, 0)
    body = body .. pack("<I4I4I4I4I4I4I4I4", pm1_evt, 0, pm1_cnt, 0, 0, timer, pm.gpe0 or 0, 0)
    -- Lengths of the blocks; latencies above the limits say that there is no C2 and no C3.
    body = body .. pack("<BBBBBBBBI2I2I2I2BB", 4, 2, 0, 4, pm.gpe0 and pm.gpe0_length or 0, 0, 0, 0,
        0xfff, 0xfff, 0, 0, 0, 0)
    body = body .. pack("<BBBI2BI4", 0, 0, d.century or 0, boot, 0, flags)
    body = body .. gas_io(reset and reset.port, 8) .. pack("<Bxxx", reset and reset.value or 0)
    body = body .. pack("<i8i8", facs, dsdt)
    body = body .. gas_io(pm1_evt, 32) .. gas_io(nil) .. gas_io(pm1_cnt, 16) .. gas_io(nil)
    body = body .. gas_io(nil) .. gas_io(timer, 32)
    body = body .. gas_io(pm.gpe0, pm.gpe0 and pm.gpe0_length * 8) .. gas_io(nil)
    assert(#body == 244 - 36)
    return sdt("FACP", 3, body)
end

local function madt(d)
    local out = { pack("<I4I4", d.lapic, 1) } -- flag: the 8259 pair is there as well
    for i, cpu in ipairs(d.cpus) do
        out[#out + 1] = pack("<BBBBI4", 0, 8, i - 1, cpu.apic_id, 1)
    end
    for _, io in ipairs(d.ioapics) do
        out[#out + 1] = pack("<BBBBI4I4", 1, 12, io.id, 0, io.address, io.gsi_base)
    end
    for _, o in ipairs(d.overrides or M.overrides) do
        out[#out + 1] = pack("<BBBBI4I2", 2, 10, 0, o[1], o[2], o[3])
    end
    -- NMI comes in at LINT1 of every processor.
    out[#out + 1] = pack("<BBBI2B", 4, 6, 0xff, 0, 1)
    return sdt("APIC", 3, table.concat(out))
end

--- IA-PC HPET specification 1.0a, 3.2.4: the timers' block, of 64 bits in memory; no minimum of the
--- period, no page protection.
local function hpet_table(d)
    local block = pack("<I4BBBBi8", d.hpet.id, 0, 64, 0, 0, d.hpet.address)
    return sdt("HPET", 1, block .. pack("<BI2B", 0, 0, 0))
end

-- DSDT: each function below makes the AML of one part.

local LINKS = { "LNKA", "LNKB", "LNKC", "LNKD" }

--- PIIX3 routes pin p (0 = A) of slot s to link (s + p - 1) mod 4: where each device's pins go, by
--- board wiring.
local function prt()
    local entries = {}
    for slot = 1, 31 do
        for pin = 0, 3 do
            local link = LINKS[(slot + pin - 1) % 4 + 1]
            local where = aml.path("\\_SB." .. link)
            entries[#entries + 1] = aml.package { slot << 16 | 0xffff, pin, where, 0 }
        end
    end
    return aml.name("_PRT", aml.package(entries))
end

local function host_windows(d)
    local list = { aml.word_bus_numbers(0, 0xff), aml.io(0xcf8, 8) }
    for _, w in ipairs(d.pci.io) do
        list[#list + 1] = aml.word_io(w[1], w[2])
    end
    for _, w in ipairs(d.pci.memory) do
        local descriptor = w[2] >> 32 == 0 and aml.dword_memory or aml.qword_memory
        list[#list + 1] = descriptor(w[1], w[2])
    end
    return aml.name("_CRS", aml.resources(list))
end

local function isa_device(name, hid, resources, ...)
    return aml.device(name, aml.name("_HID", aml.eisaid(hid)),
        aml.name("_CRS", aml.resources(resources)), ...)
end

local ISA = {
    serial = function(dev, uid)
        return isa_device("COM" .. uid, "PNP0501",
            { aml.io(dev.iobase, 8, 8), aml.irq_no_flags(dev.irq) }, aml.name("_UID", uid))
    end,
    rtc = function()
        return isa_device("RTC", "PNP0B00", { aml.io(0x70, 8, 1), aml.irq_no_flags(8) })
    end,
    i8042 = function()
        local keyboard = { aml.io(0x60, 1), aml.io(0x64, 1), aml.irq_no_flags(1) }
        return isa_device("KBD", "PNP0303", keyboard)
            .. isa_device("MOU", "PNP0F13", { aml.irq_no_flags(12) })
    end,
    pit = function()
        return isa_device("TMR", "PNP0100", { aml.io(0x40, 4), aml.irq_no_flags(0) })
    end,
    pic = function()
        return isa_device("PIC", "PNP0000", { aml.io(0x20, 2), aml.io(0xa0, 2), aml.io(0x4d0, 2) })
    end,
    speaker = function()
        return isa_device("SPKR", "PNP0800", { aml.io(0x61, 1) })
    end,
}

local function isa_bus(d)
    local out, count = {}, {}
    for _, dev in ipairs(d.isa) do
        local make = ISA[dev.kind]
            or error("no ACPI description of the ISA device kind " .. tostring(dev.kind))
        count[dev.kind] = (count[dev.kind] or 0) + 1
        out[#out + 1] = make(dev, count[dev.kind])
    end
    local devfn = d.pci.isa
    return aml.device("ISA",
        aml.name("_ADR", (devfn >> 3) << 16 | devfn & 7),
        aml.region("PRQC", "pci_config", 0x60, 4),
        aml.field("PRQC", { { "PRQ0", 8 }, { "PRQ1", 8 }, { "PRQ2", 8 }, { "PRQ3", 8 } }),
        table.concat(out))
end

--- One PIRQ as a link device. Bit 7 of its register switches it off, the low 4 bits are the
--- interrupt.
local function link(d, i)
    local reg = aml.path("\\_SB.PCI0.ISA.PRQ" .. i - 1)
    return aml.device(LINKS[i],
        aml.name("_HID", aml.eisaid("PNP0C0F")),
        aml.name("_UID", i),
        aml.name("_PRS", aml.resources { aml.interrupts(d.pci.link_irqs) }),
        aml.method("_STA", 0, false,
            aml.if_(aml.band(reg, 0x80), aml.ret(0x09)),
            aml.ret(0x0b)),
        aml.method("_DIS", 0, false, aml.bor(reg, 0x80, reg)),
        aml.method("_CRS", 0, true,
            aml.name("BUF0", aml.resources { aml.interrupts { 0 } }),
            aml.dword_field(aml.path("BUF0"), 5, "IRQ0"),
            aml.if_(aml.less(reg, 0x80), aml.band(reg, 0x0f, aml.path("IRQ0"))),
            aml.ret(aml.path("BUF0"))),
        aml.method("_SRS", 1, true,
            aml.dword_field(aml.arg(0), 5, "IRQ0"),
            aml.store(aml.path("IRQ0"), reg)))
end

--- Something on the PCI bus wakes up: 5.6.4.1 (event methods), 5.6.6 (2: device wake). It is the bridge
--- that the event is of, from the working state alone (7.3.13), for there is no other to wake from.
local function wake_event(n)
    return aml.scope("\\_GPE", aml.method(("_E%02X"):format(n), 0, false,
        aml.notify(aml.path("\\_SB.PCI0"), 2)))
end

local function dsdt(d)
    local sb = {}
    for i, _ in ipairs(d.cpus) do
        sb[i] = aml.device(("C%03X"):format(i - 1),
            aml.name("_HID", aml.string "ACPI0007"), aml.name("_UID", i - 1))
    end
    sb[#sb + 1] = aml.device("PCI0",
        aml.name("_HID", aml.eisaid("PNP0A03")),
        aml.name("_UID", 0),
        host_windows(d),
        d.pm.pme and aml.name("_PRW", aml.package { d.pm.pme, 0 }) or "",
        d.pci.isa and prt() or "",
        d.pci.isa and isa_bus(d) or "")
    for i = 1, d.pci.isa and #LINKS or 0 do
        sb[#sb + 1] = link(d, i)
    end
    if d.hpet then
        sb[#sb + 1] = aml.device("HPET", aml.name("_HID", aml.eisaid("PNP0103")), aml.name("_UID", 0),
            aml.name("_CRS", aml.resources { aml.memory32(d.hpet.address, 0x400) }))
    end
    local s5 = aml.name("_S5", aml.package { d.pm.s5, d.pm.s5, 0, 0 })
    local events = d.pm.pme and wake_event(d.pm.pme) or ""
    return sdt("DSDT", 2, aml.scope("\\_SB", table.concat(sb)) .. events .. s5)
end

--- Version 1: revision 0 of the signature's meaning is enough; there is no firmware to share a lock
--- with.
local function facs()
    return pack("<c4I4I4I4I4I4i8B", "FACS", 64, 0, 0, 0, 0, 0, 1) .. ("\0"):rep(31)
end

--- Root pointer of revision 2, 5.2.5.3; the first 20 bytes have a sum of their own.
local function rsdp(rsdt, xsdt)
    local function first(sum)
        return pack("<c8Bc6BI4", "RSD PTR ", sum, OEM_ID, 2, rsdt)
    end
    local head = first(checksum(first(0))) .. pack("<I4i8", 36, xsdt)
    return head .. pack("<Bxxx", checksum(head))
end

function M.build(d)
    local dsdt_bytes, madt_bytes, hpet_bytes = dsdt(d), madt(d), d.hpet and hpet_table(d) or ""
    local listed = d.hpet and 3 or 2 -- tables that RSDT and XSDT name
    -- FACS must be at a multiple of 64 and comes first; the others are kept at multiples of 16.
    local sizes = { 64, #dsdt_bytes, 244, #madt_bytes, #hpet_bytes, 36 + 4 * listed, 36 + 8 * listed }
    local offsets, size = {}, 0
    for i, n in ipairs(sizes) do
        offsets[i] = size
        size = size + n + 15 & ~15
    end
    local base = d.top - size & ~4095
    local function at(i)
        return base + offsets[i]
    end
    local parts = {
        facs(), dsdt_bytes, fadt(d, at(1), at(2)), madt_bytes, hpet_bytes,
        sdt("RSDT", 1, pack("<" .. ("I4"):rep(listed), at(3), at(4), at(5))),
        sdt("XSDT", 1, pack("<" .. ("i8"):rep(listed), at(3), at(4), at(5))),
    }
    local tables, bytes = {}, {}
    for i, part in ipairs(parts) do
        assert(#part == sizes[i])
        if #part > 0 then
            tables[part:sub(1, 4)] = { address = at(i), bytes = part }
        end
        bytes[i] = part .. ("\0"):rep(-#part & 15)
    end
    return { base = base, size = size, bytes = table.concat(bytes), rsdp = rsdp(at(6), at(7)),
        tables = tables }
end

return M
