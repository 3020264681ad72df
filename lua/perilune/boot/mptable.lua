-- The MP configuration table of a PC, by which an operating system that does without ACPI finds its
-- processors and how interrupts are wired: MultiProcessor Specification 1.4, chapter 4.
--
-- M.build(description, routes, address): of the description that perilune.boot.acpi takes it reads
-- cpus, lapic and ioapics; routes is a list of { slot =, pin = (0 is INTA), irq = } of the PCI bus. The
-- result are the bytes that belong at `address`, a multiple of 16 that is looked at (F0000 to FFFFF): the
-- floating pointer and the table behind it.

local M = {}

local pack = string.pack

local PCI, ISA = 0, 1 -- numbers of the buses
local INT, NMI, EXTINT = 0, 1, 3
local AS_BUS, LEVEL_HIGH = 0, 0x0d
local LEVEL_LINES = { [9] = true, [10] = true, [11] = true } -- of the ISA bus: the PCI interrupts and the SCI
local ALL, LINT0, LINT1, TIMER_PIN, CASCADE = 0xff, 0, 1, 2, 2
local APIC_VERSION, IOAPIC_VERSION = 0x14, 0x20

local function checksum(bytes)
    local sum = 0
    for i = 1, #bytes do
        sum = sum + bytes:byte(i)
    end
    return -sum & 0xff
end

--- Bytes made by a function of their checksum, whose sum is 0.
local function summed(make)
    return make(checksum(make(0)))
end

local function entries(d, routes)
    local out, io = {}, d.ioapics[1].id
    local function add(format, ...)
        out[#out + 1] = pack(format, ...)
    end
    for i, cpu in ipairs(d.cpus) do
        local flags = i == 1 and 3 or 1 -- enabled, the boot processor
        add("<BBBBI4I4I8", 0, cpu.apic_id, APIC_VERSION, flags, 0, 0, 0)
    end
    add("<BBc6", 1, PCI, "PCI   ")
    add("<BBc6", 1, ISA, "ISA   ")
    for _, ioapic in ipairs(d.ioapics) do
        add("<BBBBI4", 2, ioapic.id, IOAPIC_VERSION, 1, ioapic.address)
    end
    for line = 0, 15 do
        if line ~= CASCADE then
            local flags = LEVEL_LINES[line] and LEVEL_HIGH or AS_BUS
            add("<BBI2BBBB", 3, INT, flags, ISA, line, io, line == 0 and TIMER_PIN or line)
        end
    end
    for _, r in ipairs(routes) do
        add("<BBI2BBBB", 3, INT, LEVEL_HIGH, PCI, r.slot << 2 | r.pin, io, r.irq)
    end
    add("<BBI2BBBB", 4, EXTINT, AS_BUS, ISA, 0, d.cpus[1].apic_id, LINT0)
    add("<BBI2BBBB", 4, NMI, AS_BUS, ISA, 0, ALL, LINT1)
    return out
end

function M.build(d, routes, address)
    local list = entries(d, routes)
    local body = table.concat(list)
    local pointer = summed(function(sum)
        return pack("<c4I4BBBBBBBB", "_MP_", address + 16, 1, 4, sum, 0, 0, 0, 0, 0)
    end)
    return pointer .. summed(function(sum)
        return pack("<c4I2BBc8c12I4I2I2I4I2BB", "PCMP", 44 + #body, 4, sum, "PRLUNE  ", "PERILUNE    ", 0, 0,
            #list, d.lapic, 0, 0, 0) .. body
    end)
end

return M
