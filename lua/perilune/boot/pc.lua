-- The firmware's part of a PC with an i440FX and a PIIX3, done before the first instruction: RAM
-- behind the PAM registers, PCI addresses and interrupt routing, power-management ports, ACPI
-- tables and the memory map.
--
-- M.post(m, p) is the `post` step of such machines and runs at every reset. Of `m` it uses m.io and
-- m.memory (:read(addr, size), :write(addr, size, value); m.memory:write_bytes(addr, bytes)) and
-- m.vm:find{type = name}, a list of devices with their properties as fields. Of the properties `p`:
-- memory. It returns { e820 = list, rsdp = address or nil } for the loader of the kernel.

local acpi = require "perilune.boot.acpi"
local mptable = require "perilune.boot.mptable"
local pcipost = require "perilune.boot.pcipost"

local M = {}

-- The map that users of such PCs know: see docs/boot.md.
local BELOW_4G_MAX = 0xc0000000
local PCI_HOLE_LAST = 0xfebfffff
local SMALL_BARS = 0xfebe0000 -- BARs up to 64 KiB lie above, bigger ones below
local SEGMENT_F, EBDA = 0xf0000, 0x9fc00
local MP_TABLE = SEGMENT_F + 0x40 -- behind the root pointer of ACPI
local PM_BASE, SMBUS_BASE, GPE0, SCI = 0x600, 0x700, 0xafe0, 9
local PME_GPE = 11 -- as machines/pc.lua wires it
local PIRQ_IRQS = { 10, 10, 11, 11 }
local LAPIC, IOAPIC, HPET = 0xfee00000, 0xfec00000, 0xfed00000
local INTEL, I440FX, PIIX3, PIIX4_PM = 0x8086, 0x1237, 0x7000, 0x7113

local windows = {
    io = { { first = 0xc000, last = 0xffff } },
    memory = {
        { first = SMALL_BARS, last = PCI_HOLE_LAST, largest = 0x10000 },
        { first = BELOW_4G_MAX, last = SMALL_BARS - 1 },
    },
}

--- Configuration mechanism 1: address at 0xcf8, data at 0xcfc.
function M.config_access(m)
    local function select(devfn, offset)
        m.io:write(0xcf8, 4, 0x80000000 | devfn << 8 | offset & 0xfc)
        return 0xcfc + (offset & 3)
    end
    return {
        read = function(devfn, offset, size)
            return m.io:read(select(devfn, offset), size)
        end,
        write = function(devfn, offset, size, value)
            m.io:write(select(devfn, offset), size, value)
        end,
    }
end

--- Reads and writes of C0000 … FFFFF go to RAM.
local function open_pam(cfg, bridge)
    cfg.write(bridge, 0x59, 1, 0x30)
    for register = 0x5a, 0x5f do
        cfg.write(bridge, register, 1, 0x33)
    end
end

--- Level-triggered inputs of the interrupt controllers: what the PIRQs use and the SCI.
local function set_elcr(m)
    local levels = 1 << SCI
    for _, irq in ipairs(PIRQ_IRQS) do
        levels = levels | 1 << irq
    end
    m.io:write(0x4d0, 1, levels & 0xff)
    m.io:write(0x4d1, 1, levels >> 8)
end

--- The A20 line is on when an operating system starts.
local function open_a20(m)
    local v = m.io:read(0x92, 1)
    if v ~= 0xff and v & 2 == 0 then
        m.io:write(0x92, 1, v & ~1 | 2)
    end
end

local ISA_KINDS = {
    { "isa-serial", "serial" }, { "mc146818rtc", "rtc" }, { "i8042", "i8042" },
    { "isa-pit", "pit" }, { "kvm-pit", "pit" }, { "isa-i8259", "pic" }, { "kvm-pic", "pic" },
    { "isa-pcspk", "speaker" },
}

local function isa_devices(m)
    local list = {}
    for _, entry in ipairs(ISA_KINDS) do
        local type_name, kind = entry[1], entry[2]
        for i, dev in ipairs(m.vm:find { type = type_name }) do
            if kind == "serial" then
                list[#list + 1] = { kind = kind, iobase = dev.iobase, irq = dev.irq }
            elseif i == 1 then -- the pair of interrupt controllers is one to an operating system
                list[#list + 1] = { kind = kind }
            end
        end
    end
    return list
end

--- The devices of a type, or of the one that stands for such chips in the kernel.
local function find(m, type_name)
    local found = m.vm:find { type = type_name }
    return #found > 0 and found or m.vm:find { type = "kvm-" .. type_name }
end

--- The processors, by their local APICs.
local function processors(m)
    local cpus = {}
    for i, apic in ipairs(find(m, "apic")) do
        local id = apic["apic-id"]
        cpus[i] = { apic_id = id >= 0 and id or apic.cpu }
    end
    return cpus
end

--- RAM below and above 4 GiB, in bytes.
local function split_memory(memory)
    local below = math.min(memory, BELOW_4G_MAX)
    return below, memory - below
end

--- The machine as perilune.boot.acpi wants it described; nil when there is nothing that makes it an
--- ACPI machine. `functions` are those that pcipost.assign found.
function M.describe(m, p, functions)
    local piix3 = pcipost.find(functions, INTEL, PIIX3)
    local pm = pcipost.find(functions, INTEL, PIIX4_PM)
    if not pm then
        return nil
    end
    local below = split_memory(p.memory)
    local ioapics = {}
    for i in ipairs(find(m, "ioapic")) do
        ioapics[i] = { id = i - 1, address = IOAPIC + (i - 1) * 0x1000, gsi_base = (i - 1) * 24 }
    end
    return {
        cpus = processors(m),
        lapic = LAPIC,
        ioapics = ioapics,
        pm = {
            base = PM_BASE, gpe0 = GPE0, gpe0_length = 4, sci = SCI,
            smi_command = 0xb2, acpi_enable = 0xf1, acpi_disable = 0xf0, s5 = 0, pme = PME_GPE,
        },
        reset = piix3 and { port = 0xcf9, value = 6 } or nil,
        pci = {
            io = { { 0x0000, 0x0cf7 }, { 0x0d00, 0xffff } },
            memory = { { 0xa0000, 0xbffff }, { math.max(below, 0x80000000), PCI_HOLE_LAST } },
            isa = piix3 and piix3.devfn,
            link_irqs = { 5, 10, 11 },
        },
        isa = isa_devices(m),
        hpet = #m.vm:find { type = "hpet" } > 0 and { address = HPET, id = m.memory:read(HPET, 4) } or nil,
        century = 0x32,
        top = below,
    }
end

--- Where the pins of the PCI functions lead: list of { slot =, pin =, irq = }.
local function pci_routes(functions)
    local routes, seen = {}, {}
    for _, f in ipairs(functions) do
        local slot, pin = f.devfn >> 3, f.pin - 1
        if f.pin >= 1 and f.pin <= 4 and not seen[slot << 2 | pin] then
            seen[slot << 2 | pin] = true
            routes[#routes + 1] = { slot = slot, pin = pin, irq = PIRQ_IRQS[(slot + pin - 1) % 4 + 1] }
        end
    end
    return routes
end

--- Copy the tables to the top of low RAM, and the root pointer and the MP table to where they are looked
--- for. Returns the address of the pointer and of the tables; nil and the end of low RAM without ACPI.
local function put_tables(m, p, functions)
    local description = M.describe(m, p, functions)
    if not description then
        return nil, (split_memory(p.memory))
    end
    local tables = acpi.build(description)
    m.memory:write_bytes(tables.base, tables.bytes)
    m.memory:write_bytes(SEGMENT_F, tables.rsdp)
    if #description.cpus > 0 and #description.ioapics > 0 then
        m.memory:write_bytes(MP_TABLE, mptable.build(description, pci_routes(functions), MP_TABLE))
    end
    return SEGMENT_F, tables.base
end

--- What the operating system may use: list of { addr =, size =, type = }; type 1 is RAM, 2
--- reserved.
function M.memory_map(memory, tables)
    local below, above = split_memory(memory)
    local map = {}
    local function add(addr, size, kind)
        if size > 0 then
            map[#map + 1] = { addr = addr, size = size, type = kind }
        end
    end
    add(0, EBDA, 1)
    add(EBDA, 0xa0000 - EBDA, 2)
    add(SEGMENT_F, 0x10000, 2)
    add(0x100000, tables - 0x100000, 1)
    add(tables, below - tables, 2)
    add(0x100000000, above, 1)
    return map
end

function M.post(m, p)
    if p.memory < 2 << 20 then
        error("memory: a PC needs at least 2 MiB of RAM", 0)
    end
    local cfg = M.config_access(m)
    local functions = pcipost.assign(cfg, windows)
    local bridge = pcipost.find(functions, INTEL, I440FX)
    local piix3 = pcipost.find(functions, INTEL, PIIX3)
    local pm = pcipost.find(functions, INTEL, PIIX4_PM)
    if bridge then
        open_pam(cfg, bridge.devfn)
    end
    if piix3 then
        pcipost.route(cfg, piix3.devfn, functions, PIRQ_IRQS)
        set_elcr(m)
    end
    if pm then
        pcipost.enable_pm(cfg, pm.devfn, PM_BASE, SMBUS_BASE, SCI)
    end
    open_a20(m)
    local rsdp, tables = put_tables(m, p, functions)
    return { e820 = M.memory_map(p.memory, tables), rsdp = rsdp }
end

return M
