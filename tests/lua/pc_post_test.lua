-- The firmware's part of a PC on a machine made of tables: BARs, routing, ports, ACPI tables,
-- memory map.

local check = require "check"
local pc = require "perilune.boot.pc"
local pcipost = require "perilune.boot.pcipost"

local equal = check.equal

--- A PCI function: its configuration bytes, and for each BAR which bits can be written.
local function pci_function(vendor, device, class, options)
    options = options or {}
    local f = { bytes = {}, masks = {} }
    function f.write(offset, size, value)
        for i = 0, size - 1 do
            local mask = f.masks[offset + i] or 0xff
            f.bytes[offset + i] = (f.bytes[offset + i] or 0) & ~mask | value >> 8 * i & mask
        end
    end
    function f.read(offset, size)
        local v = 0
        for i = 0, size - 1 do
            v = v | (f.bytes[offset + i] or 0) << 8 * i
        end
        return v
    end
    f.write(0, 4, device << 16 | vendor)
    f.write(0x0a, 2, class)
    f.write(0x0e, 1, options.multifunction and 0x80 or 0)
    f.write(0x3d, 1, options.pin or 0)
    for i = 0, 3 do
        f.masks[i] = 0
    end
    for n = 0, 5 do
        local bar = options[n] or { size = 0 }
        local low = bar.io and 1 or bar.wide and 4 or 0
        local mask = bar.size == 0 and 0 or -bar.size
        f.write(0x10 + 4 * n, 4, low)
        if bar.upper then
            mask = bar.upper
        end
        if bar.io16 then
            mask = mask & 0xffff
        end
        for i = 0, 3 do
            f.masks[0x10 + 4 * n + i] = mask >> 8 * i & 0xff
        end
    end
    return f
end

local function bus_access(functions)
    return {
        read = function(devfn, offset, size)
            return functions[devfn] and functions[devfn].read(offset, size) or (1 << 8 * size) - 1
        end,
        write = function(devfn, offset, size, value)
            if functions[devfn] then
                functions[devfn].write(offset, size, value)
            end
        end,
    }
end

local function e1000()
    local bars = { [0] = { size = 0x20000 }, [1] = { size = 64, io = true }, pin = 1 }
    return pci_function(0x8086, 0x100e, 0x0200, bars)
end

local function pc_functions()
    return {
        [0x00] = pci_function(0x8086, 0x1237, 0x0600),
        [0x08] = pci_function(0x8086, 0x7000, 0x0601, { multifunction = true }),
        [0x0b] = pci_function(0x8086, 0x7113, 0x0680, { pin = 1 }),
        [0x18] = e1000(),
    }
end

--- A machine as pc.post sees one.
local function machine(functions, devices)
    local m = { ports = { [0x92] = 0 }, writes = {} }
    local cfg, address = bus_access(functions), 0
    m.io = {
        read = function(_, port, size)
            if port & ~3 == 0xcfc then
                return cfg.read(address >> 8 & 0xff, (address & 0xfc) + (port & 3), size)
            end
            return m.ports[port] or (1 << 8 * size) - 1
        end,
        write = function(_, port, size, value)
            if port == 0xcf8 then
                assert(size == 4 and value & 0x80000000 ~= 0)
                address = value
            elseif port & ~3 == 0xcfc then
                cfg.write(address >> 8 & 0xff, (address & 0xfc) + (port & 3), size, value)
            else
                m.ports[port] = value
            end
        end,
    }
    m.memory = {
        write_bytes = function(_, addr, bytes)
            m.writes[#m.writes + 1] = { addr = addr, bytes = bytes }
        end,
    }
    m.vm = {
        find = function(_, filter)
            return devices[filter.type] or {}
        end,
    }
    return m
end

local function pc_devices()
    return {
        ["isa-serial"] = { { iobase = 0x3f8, irq = 4 } },
        ["mc146818rtc"] = { {} }, ["i8042"] = { {} }, ["isa-pit"] = { {} },
        ["isa-i8259"] = { {}, {} },
        ["ioapic"] = { {} },
        ["apic"] = { { ["apic-id"] = -1, cpu = 0 }, { ["apic-id"] = 7, cpu = 1 } },
    }
end

check.case("an e1000 gets the addresses that the reference listing shows", function()
    local functions = pc_functions()
    local m = machine(functions, pc_devices())
    pc.post(m, { memory = 512 << 20 })
    local nic = functions[0x18]
    equal(nic.read(0x10, 4), 0xfebc0000, "BAR 0")
    equal(nic.read(0x14, 4), 0xc001, "BAR 1")
    equal(nic.read(0x04, 2) & 3, 3, "decoding")
    equal(nic.read(0x3c, 1), 11, "interrupt line") -- slot 3, INTA: PIRQC
end)

check.case("chipset registers", function()
    local functions = pc_functions()
    local m = machine(functions, pc_devices())
    pc.post(m, { memory = 512 << 20 })
    equal(functions[0x00].read(0x59, 4), 0x33333330, "PAM0 to PAM3")
    equal(functions[0x00].read(0x5d, 2), 0x3333, "PAM4 and PAM5")
    equal(functions[0x00].read(0x5f, 1), 0x33, "PAM6")
    equal(functions[0x08].read(0x60, 4), 0x0b0b0a0a, "PIRQ routes")
    equal(functions[0x0b].read(0x40, 4), 0x601, "power-management base")
    equal(functions[0x0b].read(0x80, 1) & 1, 1, "power-management enable")
    equal(functions[0x0b].read(0x90, 4), 0x701, "SMBus base")
    equal(functions[0x0b].read(0x3c, 1), 9, "SCI")
    equal(m.ports[0x4d0], 0, "ELCR, first")
    equal(m.ports[0x4d1], 0x0e, "ELCR, second")
    equal(m.ports[0x92] & 3, 2, "A20 on, no reset")
end)

check.case("tables at the top of RAM, out of the memory map", function()
    local m = machine(pc_functions(), pc_devices())
    local found = pc.post(m, { memory = 512 << 20 })
    equal(#m.writes, 3)
    local tables, rsdp, mp = m.writes[1], m.writes[2], m.writes[3]
    equal(mp.addr, 0xf0040)
    equal(mp.bytes:sub(1, 4), "_MP_")
    equal(tables.addr & 4095, 0)
    assert(tables.addr + #tables.bytes <= 512 << 20 and tables.addr > 511 << 20)
    equal(rsdp.addr, 0xf0000)
    equal(rsdp.bytes:sub(1, 8), "RSD PTR ")
    equal(found.rsdp, 0xf0000)
    local last
    for _, e in ipairs(found.e820) do
        assert(not last or e.addr >= last, "memory map in order, without overlap")
        last = e.addr + e.size
        if e.type == 1 then
            assert(last <= tables.addr, "RAM that is free ends below the tables")
        end
    end
    equal(last, 512 << 20)
end)

check.case("processors and interrupt controllers come from the machine", function()
    local functions = pc_functions()
    local m = machine(functions, pc_devices())
    local cfg = pc.config_access(m)
    local d = pc.describe(m, { memory = 4 << 30 }, pcipost.scan(cfg))
    equal(#d.cpus, 2)
    equal(d.cpus[1].apic_id, 0)
    equal(d.cpus[2].apic_id, 7)
    equal(d.ioapics[1].address, 0xfec00000)
    equal(d.top, 0xc0000000)
    equal(d.pci.memory[2][1], 0xc0000000)
    equal(#d.isa, 5)
end)

--- The entries of the MP table by their type, each without the type.
local function mp_entries(bytes)
    local entries, at = { [0] = {}, {}, {}, {}, {} }, 16 + 44 + 1
    for _ = 1, (string.unpack("<I2", bytes, 16 + 34 + 1)) do
        local kind = bytes:byte(at)
        local size = kind == 0 and 20 or 8
        table.insert(entries[kind], bytes:sub(at + 1, at + size - 1))
        at = at + size
    end
    equal(at, #bytes + 1, "length of the table")
    return entries
end

check.case("the MP table: sums, processors, wires", function()
    local m = machine(pc_functions(), pc_devices())
    pc.post(m, { memory = 512 << 20 })
    local bytes = m.writes[3].bytes
    local function sum(text)
        local s = 0
        for i = 1, #text do
            s = s + text:byte(i) & 0xff
        end
        return s
    end
    equal(sum(bytes:sub(1, 16)), 0)
    equal(sum(bytes:sub(17)), 0)
    equal(string.unpack("<I4", bytes, 5), 0xf0050)
    equal(bytes:sub(17, 20), "PCMP")
    equal(string.unpack("<I2", bytes, 21), #bytes - 16)
    equal(string.unpack("<I4", bytes, 16 + 36 + 1), 0xfee00000)
    local e = mp_entries(bytes)
    equal(#e[0], 2)
    equal(e[0][1]:sub(1, 3), "\0\x14\3") -- APIC id 0, the boot processor
    equal(e[0][2]:sub(1, 3), "\7\x14\1")
    equal(e[1][2], "\1ISA   ")
    equal(string.unpack("<I4", e[2][1], 4), 0xfec00000)
    local wires = {}
    for _, wire in ipairs(e[3]) do
        local _, flags, bus, source, _, pin = string.unpack("<BI2BBBB", wire)
        wires[bus << 8 | source] = { flags, pin }
    end
    check.equal(#e[3], 15 + 2) -- ISA lines, the PIIX4 and the card
    equal(wires[0x100][2], 2, "the timer's pin")
    equal(wires[0x104][2], 4)
    equal(wires[0x104][1], 0, "as the bus has it")
    equal(wires[0x109][1], 0x0d, "the SCI's level")
    equal(wires[0x102], nil, "the cascade")
    equal(wires[3 << 2][2], 11, "slot 3, INTA")
    equal(wires[3 << 2][1], 0x0d)
    equal(e[4][1]:sub(1, 1) .. e[4][1]:sub(7), "\3\0", "ExtINT at LINT0")
    equal(e[4][2]:sub(1, 1) .. e[4][2]:sub(6), "\1\xff\1", "NMI at LINT1 of all")
end)

check.case("RAM above 4 GiB is in the memory map", function()
    local map = pc.memory_map(5 << 30, 0xbfff0000)
    equal(map[#map].addr, 1 << 32)
    equal(map[#map].size, 2 << 30)
    equal(map[#map - 1].addr, 0xbfff0000)
    equal(map[#map - 1].type, 2)
end)

check.case("a machine without power management has no ACPI", function()
    local functions = pc_functions()
    functions[0x0b] = nil
    local m = machine(functions, pc_devices())
    local found = pc.post(m, { memory = 64 << 20 })
    equal(#m.writes, 0)
    equal(found.rsdp, nil)
    equal(found.e820[#found.e820].addr, 0x100000)
end)

check.case("too little RAM is an error", function()
    local m = machine(pc_functions(), pc_devices())
    check.raises("at least 2 MiB", pc.post, m, { memory = 1 << 20 })
end)

local windows = {
    io = { { first = 0xc000, last = 0xc0ff } },
    memory = { { first = 0xf0000000, last = 0xf00fffff } },
}

check.case("sizes of every kind of BAR", function()
    local f = pci_function(0x1234, 1, 0x0200, {
        [0] = { size = 0x4000, wide = true }, [1] = { size = 0, upper = 0xffffffff },
        [2] = { size = 16, io = true }, [3] = { size = 256, io = true, io16 = true },
        [5] = { size = 0x1000 },
    })
    local bars = pcipost.bars(bus_access { [0] = f }, 0)
    equal(#bars, 4)
    equal(bars[1].size, 0x4000)
    equal(bars[1].wide, true)
    equal(bars[2].size, 16)
    equal(bars[2].kind, "io")
    equal(bars[3].size, 256)
    equal(bars[4].size, 0x1000)
    equal(bars[4].offset, 0x24)
end)

check.case("functions beyond 0 are only looked for in multifunction devices", function()
    local functions = {
        [0x20] = pci_function(0x1234, 1, 0x0200), [0x23] = pci_function(0x1234, 2, 0x0200),
    }
    equal(#pcipost.scan(bus_access(functions)), 1)
    functions[0x20] = pci_function(0x1234, 1, 0x0200, { multifunction = true })
    equal(#pcipost.scan(bus_access(functions)), 2)
end)

check.case("BARs are aligned, apart, and in their windows; a second run gives the same", function()
    local functions = {}
    for slot = 1, 6 do
        functions[slot << 3] = pci_function(0x1234, slot, 0x0200, {
            [0] = { size = 0x1000 << slot % 4 }, [1] = { size = 16 << slot % 3, io = true },
            [2] = { size = 0x800, wide = true }, [3] = { size = 0, upper = 0xffffffff },
        })
    end
    local cfg = bus_access(functions)
    local first = pcipost.assign(cfg, windows)
    local taken, count = {}, 0
    for _, f in ipairs(first) do
        for _, bar in ipairs(f.bars) do
            count = count + 1
            equal(bar.address & bar.size - 1, 0, "alignment")
            local w = windows[bar.kind][1]
            assert(bar.address >= w.first and bar.address + bar.size - 1 <= w.last)
            for at = bar.address, bar.address + bar.size - 1, 16 do
                assert(not taken[at], "two BARs at one address")
                taken[at] = true
            end
        end
    end
    equal(count, 18)
    for i, f in ipairs(pcipost.assign(cfg, windows)) do
        for j, bar in ipairs(f.bars) do
            equal(bar.address, first[i].bars[j].address)
        end
    end
end)

check.case("exhausted windows name the device", function()
    local big = pci_function(0x1234, 1, 0x0200, { [2] = { size = 0x200000 } })
    check.raises("PCI device 00:05.0: no room for BAR 2 (memory, 0x200000 bytes)", pcipost.assign,
        bus_access { [0x28] = big }, windows)
    local wide = pci_function(0x1234, 1, 0x0200, { [0] = { size = 0x200, io = true } })
    local first = pci_function(0x1234, 2, 0, { multifunction = true })
    check.raises("PCI device 00:05.1: no room for BAR 0 (I/O, 0x200 bytes)", pcipost.assign,
        bus_access { [0x28] = first, [0x29] = wide }, windows)
end)

check.finish()
