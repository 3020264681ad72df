--- Values as bytes: what effects change.
--
-- A value, whether a register, memory, what a device answers or a frame, is a string of bytes, the
-- low one first. Bits count from bit 0 of byte 0 on.
local M = {}

--- An integer as n bytes.
function M.pack(value, n)
    local out = {}
    for i = 1, n do
        out[i] = string.char(i <= 8 and value >> 8 * (i - 1) & 0xff or 0)
    end
    return table.concat(out)
end

--- The integer that 1 to 8 bytes are.
function M.unpack(bytes)
    local value = 0
    for i = #bytes, 1, -1 do
        value = value << 8 | bytes:byte(i)
    end
    return value
end

--- As people want to see it: an integer up to 8 bytes, hexadecimal text of the bytes beyond.
function M.show(bytes)
    if #bytes <= 8 then
        return M.unpack(bytes)
    end
    return (bytes:gsub(".", function(c)
        return ("%02x"):format(c:byte())
    end))
end

--- Each byte of `bytes` from `offset` on for which there is one in `other`, combined by f(byte,
-- other).
function M.combine(bytes, other, offset, f)
    local out = {}
    local last = math.min(#bytes, offset + #other)
    for i = offset + 1, last do
        out[#out + 1] = string.char(f(bytes:byte(i), other:byte(i - offset)) & 0xff)
    end
    return bytes:sub(1, offset) .. table.concat(out) .. bytes:sub(math.max(last, offset) + 1)
end

--- A mask of n bytes in which these bits are set; bits beyond are not there.
function M.mask(bits, n)
    local bytes, out = {}, {}
    for _, bit in ipairs(bits) do
        local at = (bit >> 3) + 1
        bytes[at] = (bytes[at] or 0) | 1 << (bit & 7)
    end
    for i = 1, n do
        out[i] = string.char(bytes[i] or 0)
    end
    return table.concat(out)
end

return M
