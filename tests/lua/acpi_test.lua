-- AML encodings against bytes worked out by hand, and ACPI tables against their own rules and iasl.

local check = require "check"
local acpi = require "perilune.boot.acpi"
local aml = require "perilune.boot.aml"

local equal = check.equal

check.case("names", function()
    equal(aml.path("_HID"), "_HID")
    equal(aml.path("A"), "A___")
    equal(aml.path("\\"), "\\\0")
    equal(aml.path("\\_SB.PCI0"), "\\\x2e_SB_PCI0")
    equal(aml.path("\\_SB.PCI0.ISA.PRQ0"), "\\\x2f\x04_SB_PCI0ISA_PRQ0")
    equal(aml.path("^^AB"), "^^AB__")
    check.raises("bad ACPI name segment", aml.path, "TOOLONG")
    check.raises("bad ACPI name segment", aml.path, "lower")
end)

check.case("integers", function()
    equal(aml.int(0), "\0")
    equal(aml.int(1), "\1")
    equal(aml.int(2), "\x0a\x02")
    equal(aml.int(255), "\x0a\xff")
    equal(aml.int(256), "\x0b\x00\x01")
    equal(aml.int(0x12345678), "\x0c\x78\x56\x34\x12")
    equal(aml.int(0x100000000), "\x0e\0\0\0\0\1\0\0\0")
    equal(aml.int(-1), "\xff")
end)

check.case("package lengths at their limits", function()
    -- A buffer of n bytes holds PkgLength, the size as an integer, and the bytes.
    equal(aml.buffer(("x"):rep(60)):sub(1, 4), "\x11\x3f\x0a\x3c")
    equal(aml.buffer(("x"):rep(61)):sub(1, 5), "\x11\x41\x04\x0a\x3d")
    equal(aml.buffer(("x"):rep(4090)):sub(1, 3), "\x11\x4f\xff")
    equal(aml.buffer(("x"):rep(4091)):sub(1, 4), "\x11\x81\x00\x01")
    equal(#aml.buffer(("x"):rep(1 << 20)), 1 + 4 + 5 + (1 << 20))
end)

check.case("identifiers and resources", function()
    equal(aml.eisaid("PNP0A03"), "\x0c\x41\xd0\x0a\x03")
    check.raises("bad EISA id", aml.eisaid, "PNPA03")
    equal(aml.irq_no_flags(4), "\x22\x10\x00")
    equal(aml.io(0x3f8, 8, 8), "\x47\x01\xf8\x03\xf8\x03\x08\x08")
    equal(aml.interrupts { 10 }, "\x89\x06\x00\x09\x01\x0a\0\0\0")
    equal(aml.memory32(0xfec00000, 0x1000), "\x86\x09\x00\x01\x00\x00\xc0\xfe\x00\x10\x00\x00")
end)

local function description()
    return {
        cpus = { { apic_id = 0 }, { apic_id = 4 } },
        lapic = 0xfee00000,
        ioapics = { { id = 2, address = 0xfec00000, gsi_base = 0 } },
        pm = { base = 0x600, gpe0 = 0xafe0, gpe0_length = 4, sci = 9, smi_command = 0xb2,
            acpi_enable = 0xf1, acpi_disable = 0xf0, s5 = 0,
            pme = 11 },
        reset = { port = 0xcf9, value = 6 },
        pci = {
            io = { { 0, 0xcf7 }, { 0xd00, 0xffff } },
            memory = { { 0xa0000, 0xbffff }, { 0xc0000000, 0xfebfffff },
                { 0x200000000, 0x2ffffffff } },
            isa = 8,
            link_irqs = { 5, 10, 11 },
        },
        isa = {
            { kind = "serial", iobase = 0x3f8, irq = 4 },
            { kind = "serial", iobase = 0x2f8, irq = 3 },
            { kind = "rtc" }, { kind = "i8042" }, { kind = "pit" }, { kind = "pic" },
            { kind = "speaker" },
        },
        hpet = { address = 0xfed00000, id = 0x8086a201 },
        century = 0x32,
        top = 0x20000000,
    }
end

local function sum(bytes)
    local s = 0
    for i = 1, #bytes do
        s = s + bytes:byte(i) & 0xff
    end
    return s
end

check.case("tables: lengths, sums and who points to whom", function()
    local r = acpi.build(description())
    local t = r.tables
    equal(r.base & 4095, 0, "base")
    assert(r.base + #r.bytes <= 0x20000000)
    for name, table_ in pairs(t) do
        local at = table_.address - r.base
        equal(r.bytes:sub(at + 1, at + #table_.bytes), table_.bytes, name)
        equal(string.unpack("<I4", table_.bytes, 5), #table_.bytes, name .. " length")
        if name ~= "FACS" then
            equal(sum(table_.bytes), 0, name .. " sum")
        end
    end
    equal(#r.rsdp, 36)
    equal(sum(r.rsdp), 0)
    equal(sum(r.rsdp:sub(1, 20)), 0)
    equal(string.unpack("<I4", r.rsdp, 17), t.RSDT.address)
    equal(string.unpack("<i8", r.rsdp, 25), t.XSDT.address)
    equal(string.unpack("<I4", t.RSDT.bytes, 37), t.FACP.address)
    equal(string.unpack("<i8", t.XSDT.bytes, 45), t.APIC.address)
    equal(string.unpack("<I4", t.FACP.bytes, 37), t.FACS.address)
    equal(string.unpack("<I4", t.FACP.bytes, 41), t.DSDT.address)
    equal(string.unpack("<i8", t.FACP.bytes, 141), t.DSDT.address)
    equal(t.FACS.address & 63, 0, "FACS alignment")
end)

check.case("the event timers' table is there when they are", function()
    local d = description()
    local t = acpi.build(d).tables
    equal(string.unpack("<I4", t.RSDT.bytes, 45), t.HPET.address)
    equal(string.unpack("<i8", t.XSDT.bytes, 53), t.HPET.address)
    equal(t.HPET.bytes:sub(37), string.pack("<I4BBBBi8BI2B", 0x8086a201, 0, 64, 0, 0, 0xfed00000, 0, 0, 0))
    assert(t.DSDT.bytes:find(aml.eisaid("PNP0103"), 1, true))
    d.hpet = nil
    t = acpi.build(d).tables
    equal(t.HPET, nil)
    equal(#t.RSDT.bytes, 36 + 8)
    equal(#t.XSDT.bytes, 36 + 16)
    assert(not t.DSDT.bytes:find(aml.eisaid("PNP0103"), 1, true))
end)

check.case("who wakes the PCI bus is told if it has a line", function()
    equal(aml.notify(aml.path("\\_SB.PCI0"), 2), "\x86\\\x2e_SB_PCI0\x0a\x02")
    local d = description()
    local bytes = acpi.build(d).tables.DSDT.bytes
    assert(bytes:find("_PRW\x12\x05\x02\x0a\x0b\0", 1, true), "the bridge's event")
    assert(bytes:find("_E0B\0\x86\\\x2e_SB_PCI0\x0a\x02", 1, true), "the event's method")
    d.pm.pme = nil
    bytes = acpi.build(d).tables.DSDT.bytes
    assert(not bytes:find("_PRW", 1, true) and not bytes:find("_GPE", 1, true))
end)

check.case("the same description gives the same bytes", function()
    equal(acpi.build(description()).bytes, acpi.build(description()).bytes)
end)

check.case("an unknown ISA device is an error", function()
    local d = description()
    d.isa[#d.isa + 1] = { kind = "toaster" }
    check.raises("toaster", acpi.build, d)
end)

local function read_file(path)
    local f = assert(io.open(path, "rb"))
    local text = f:read("a")
    f:close()
    return text
end

local function run(command)
    local p = assert(io.popen(command .. " 2>&1"))
    local output = p:read("a")
    return p:close(), output
end

--- Disassemble every table with iasl: it must understand them, and the DSDT must compile again.
check.case("iasl reads the tables and compiles the DSDT again", function()
    if not run("command -v iasl") then
        print("SKIPPED: iasl is not there (package acpica-tools)")
        return
    end
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    for name, t in pairs(acpi.build(description()).tables) do
        local f = assert(io.open(("%s/%s.aml"):format(dir, name), "wb"))
        f:write(t.bytes)
        f:close()
        local ok, output = run(("cd %s && iasl -d %s.aml"):format(dir, name))
        assert(ok, output)
        assert(not output:find("Error") and not output:find("Invalid"), output)
        local text = read_file(("%s/%s.dsl"):format(dir, name))
        for _, complaint in ipairs { "Incorrect checksum", "Unknown", "Invalid" } do
            assert(not text:find(complaint), text)
        end
    end
    local ok, output = run(("cd %s && iasl -tc DSDT.dsl"):format(dir))
    assert(ok and output:find("0 Errors, 0 Warnings"), output)
    local dsl = read_file(dir .. "/DSDT.dsl")
    for _, expected in ipairs { 'EisaId ("PNP0A03")', 'EisaId ("PNP0501")', "Device (COM2)",
        "Device (LNKD)", "Name (_S5, Package", "0x001FFFFF", "Device (C001)" } do
        assert(dsl:find(expected, 1, true), "no " .. expected .. " in the DSDT")
    end
    local madt = read_file(dir .. "/APIC.dsl")
    for _, expected in ipairs { "Local Apic ID : 04", "I/O Apic ID : 02", "Address : FEC00000",
        "Source : 00\n" } do
        assert(madt:find(expected, 1, true), "no " .. expected .. " in the MADT:\n" .. madt)
    end
    local fadt = read_file(dir .. "/FACP.dsl")
    for _, expected in ipairs { "PM1A Event Block Address : 00000600",
        "PM Timer Block Address : 00000608",
        "SCI Interrupt : 0009", "SMI Command Port : 000000B2", "Value to cause reset : 06" } do
        assert(fadt:find(expected, 1, true), "no " .. expected .. " in the FADT:\n" .. fadt)
    end
    os.execute("rm -r " .. dir)
end)

check.finish()
