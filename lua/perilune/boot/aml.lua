-- AML, the byte code of ACPI's definition blocks: ACPI specification 6.4, chapter 20 (encoding) and
-- 6.4 (resource descriptors).
--
-- Every function returns bytes (a Lua string); terms nest by passing the bytes of one to another:
--   aml.scope("\\_SB", aml.device("PCI0", aml.name("_HID", aml.eisaid("PNP0A03"))))
-- Where a term is expected, an integer stands for its encoding and a string for bytes already made.
-- Names are written as in ASL: "\\_SB.PCI0", "^PRQ0", "COM1"; segments shorter than four letters
-- are padded.

local M = {}

local pack, char = string.pack, string.char

--- Bytes of a name string.
function M.path(name)
    local prefix, rest = name:match("^(\\?%^*)(.*)$")
    local segments = {}
    for segment in rest:gmatch("[^.]+") do
        if not segment:match("^[A-Z_][A-Z0-9_]*$") or #segment > 4 then
            error(("bad ACPI name segment %q in %q"):format(segment, name), 2)
        end
        segments[#segments + 1] = segment .. ("_"):rep(4 - #segment)
    end
    local body = table.concat(segments)
    if #segments == 0 then
        return prefix .. "\0"
    elseif #segments == 1 then
        return prefix .. body
    elseif #segments == 2 then
        return prefix .. "\x2e" .. body
    end
    return prefix .. "\x2f" .. char(#segments) .. body
end

--- The shortest encoding of an integer.
function M.int(v)
    if v == 0 then
        return "\x00"
    elseif v == 1 then
        return "\x01"
    elseif v == -1 then
        return "\xff"
    elseif v >> 8 == 0 then
        return pack("<BB", 0x0a, v)
    elseif v >> 16 == 0 then
        return pack("<BI2", 0x0b, v)
    elseif v >> 32 == 0 then
        return pack("<BI4", 0x0c, v)
    end
    return pack("<Bi8", 0x0e, v)
end

local function term(t)
    if math.type(t) == "integer" then
        return M.int(t)
    end
    assert(type(t) == "string", "an AML term is an integer or bytes")
    return t
end

local function terms(...)
    local out = {}
    for i = 1, select("#", ...) do
        out[i] = term((select(i, ...)))
    end
    return table.concat(out)
end

--- Join terms: a term list.
M.list = terms

--- PkgLength counts itself: one byte holds 63, each byte more adds 8 bits above the low 4.
local function package(body)
    local n = #body + 1
    if n < 64 then
        return char(n) .. body
    end
    for extra = 1, 3 do
        n = #body + 1 + extra
        if n < 1 << (4 + 8 * extra) then
            return pack("<B", extra << 6 | n & 15) .. pack("<I" .. extra, n >> 4) .. body
        end
    end
    error("an AML package of " .. #body .. " bytes is too long")
end

function M.string(s)
    assert(not s:find("[\0\x80-\xff]"), "AML strings are ASCII")
    return "\x0d" .. s .. "\0"
end

function M.name(name, value)
    return "\x08" .. M.path(name) .. term(value)
end

function M.scope(name, ...)
    return "\x10" .. package(M.path(name) .. terms(...))
end

function M.device(name, ...)
    return "\x5b\x82" .. package(M.path(name) .. terms(...))
end

--- `args` 0..7; a serialized method is entered by one thread at a time: one that makes names must
--- be.
function M.method(name, args, serialized, ...)
    return "\x14" .. package(M.path(name) .. char(args | (serialized and 8 or 0)) .. terms(...))
end

function M.buffer(bytes)
    return "\x11" .. package(M.int(#bytes) .. bytes)
end

--- A package of terms given as a list; at most 255.
function M.package(elements)
    assert(#elements <= 255, "an AML package has at most 255 elements")
    return "\x12" .. package(char(#elements) .. terms(table.unpack(elements)))
end

M.region_space = { memory = 0, io = 1, pci_config = 2 }

function M.region(name, space, offset, length)
    return "\x5b\x80" .. M.path(name) .. char(M.region_space[space]) .. term(offset) .. term(length)
end

--- Fields of a region, accessed in bytes: a list of { name, bits }; a name of nil skips bits.
function M.field(region, fields)
    local out = {}
    for i, f in ipairs(fields) do
        local bits = f[2]
        assert(bits < 64, "long fields are not needed")
        out[i] = (f[1] and M.path(f[1]) or "\0") .. char(bits)
    end
    return "\x5b\x81" .. package(M.path(region) .. "\x01" .. table.concat(out))
end

-- Expressions. Those with a target take it last; without one the result is only the value.

local NOWHERE = "\0"

function M.arg(n)
    return char(0x68 + n)
end

function M.loc(n)
    return char(0x60 + n)
end

local function binary(op)
    return function(a, b, target)
        return char(op) .. term(a) .. term(b) .. (target or NOWHERE)
    end
end

M.add, M.subtract = binary(0x72), binary(0x74)
M.shift_left, M.shift_right = binary(0x79), binary(0x7a)
M.band, M.bor = binary(0x7b), binary(0x7d)

local function logical(op)
    return function(a, b)
        return char(op) .. term(a) .. term(b)
    end
end

M.land, M.lor = logical(0x90), logical(0x91)
M.equal, M.greater, M.less = logical(0x93), logical(0x94), logical(0x95)

function M.lnot(a)
    return "\x92" .. term(a)
end

function M.store(value, target)
    return "\x70" .. term(value) .. target
end

function M.notify(object, value)
    return "\x86" .. object .. term(value)
end

function M.ret(value)
    return "\xa4" .. term(value)
end

function M.if_(condition, ...)
    return "\xa0" .. package(term(condition) .. terms(...))
end

function M.else_(...)
    return "\xa1" .. package(terms(...))
end

--- Call a method, or name an object.
function M.call(name, ...)
    return M.path(name) .. terms(...)
end

--- A field of four bytes at `offset` in a buffer.
function M.dword_field(buffer, offset, name)
    return "\x8a" .. term(buffer) .. term(offset) .. M.path(name)
end

--- "PNP0A03" as the integer of _HID and _CID: 5.6.8.1: three letters of 5 bits, four hex digits,
--- big-endian.
function M.eisaid(id)
    local a, b, c, digits = id:match("^(%u)(%u)(%u)(%x%x%x%x)$")
    if not a then
        error(("bad EISA id %q"):format(id), 2)
    end
    local letters = (a:byte() - 64) << 10 | (b:byte() - 64) << 5 | c:byte() - 64
    local v = letters << 16 | tonumber(digits, 16)
    return "\x0c" .. pack(">I4", v)
end

-- Resource descriptors; M.resources joins them and adds the end tag.

function M.resources(list)
    -- A checksum of 0 means that there is none.
    return M.buffer(table.concat(list) .. "\x79\0")
end

--- An ISA interrupt, edge-triggered and active high.
function M.irq_no_flags(irq)
    return pack("<BI2", 0x22, 1 << irq)
end

--- Interrupts by global number: level-triggered, active high, shared; the offset of the first is 5.
function M.interrupts(list)
    local out = pack("<BI2BB", 0x89, 2 + 4 * #list, 0x01 | 0x08, #list)
    for _, irq in ipairs(list) do
        out = out .. pack("<I4", irq)
    end
    return out
end

--- I/O ports first .. first+length-1, 16 address bits decoded.
function M.io(first, length, align)
    return pack("<BBI2I2BB", 0x47, 1, first, first, align or 1, length)
end

--- 32-bit memory that is writable.
function M.memory32(base, length)
    return pack("<BI2BI4I4", 0x86, 9, 1, base, length)
end

-- Address space descriptors, 6.4.3.5. Flags: positive decode, minimum and maximum fixed, producer.
local FIXED = 0x0c

local function space(tag, format, kind, specific)
    local fields = "<BBB" .. format:rep(5)
    return function(first, last)
        local body = pack(fields, kind, FIXED, specific, 0, first, last, 0, last - first + 1)
        return pack("<BI2", tag, #body) .. body
    end
end

M.word_bus_numbers = space(0x88, "I2", 2, 0)
M.word_io = space(0x88, "I2", 1, 3)
M.dword_memory = space(0x87, "I4", 0, 1)
M.qword_memory = space(0x8a, "i8", 0, 1)

return M
