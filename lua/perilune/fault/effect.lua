--- What faults do: the table of effects.
--
-- A row is { name, help, needs, keys, required } with one of these functions; f is the fault, f.spec its keys.
--   change(f, bytes) → bytes   another value: of a target that can be written, or of what goes by
--   event(f, e)                do something to an event that goes by: e.bytes, e.dropped
--   act(f) → fields            do something to the target at once; the fields are recorded
--   hold(f) → function         begin something that lasts; the function ends it
-- `needs` lists what a target must have one of: names of its row's fields. `lasting`: in force until
-- released unless the spec says otherwise. `flow`: it is about writes, not reads. `before`: a read
-- that it hits does not reach the device.
local bits = require "perilune.fault.bits"
local check = require "perilune.fault.check"

local M = { rows = {}, names = {} }

local row_keys = { name = "string", help = "string", needs = "table", keys = "table",
    required = "table",
    change = "function", event = "function", act = "function", hold = "function",
    lasting = "boolean", flow = "boolean", before = "boolean" }

--- Add an effect, or replace the one of that name.
function M.add(row)
    check.add(M, "effect", row, row_keys)
end

--- Does effect `row` suit targets of row `target`?
function M.fits(row, target)
    for _, field in ipairs(row.needs) do
        if target[field] then
            return true
        end
    end
    return false
end

-- ---- values ----

local where_keys = { bit = "count", bits = "bits", mask = "bytes", at = "count" }

local function with(keys, more)
    local all = {}
    for _, t in ipairs { keys, more } do
        for k, v in pairs(t) do
            all[k] = v
        end
    end
    return all
end

local function bit_count(f, bytes)
    return f.target.bits or 8 * #bytes
end

--- Bytes of a key that is an integer (as many bytes as the value has from `at` on) or text.
local function operand(f, v, bytes)
    if type(v) == "string" then
        return v
    end
    return bits.pack(v, math.max(0, #bytes - (f.spec.at or 0)))
end

--- Which bits of the value are meant, as a mask from `at` on; nil when the spec does not say.
local function chosen(f, bytes)
    local s = f.spec
    local n = math.max(0, #bytes - (s.at or 0))
    if s.mask then
        return operand(f, s.mask, bytes)
    elseif s.bit or s.bits then
        return bits.mask(s.bits or { s.bit }, n)
    end
end

--- n different random bits of the value.
local function random_bits(f, bytes, n)
    local total, list, taken = bit_count(f, bytes), {}, {}
    n = math.min(n, total)
    while #list < n do
        local bit = f.random:below(total)
        if not taken[bit] then
            taken[bit] = true
            list[#list + 1] = bit
        end
    end
    return bits.mask(list, #bytes)
end

local function all_bits(f, bytes)
    return f.target.bits and bits.pack((1 << f.target.bits) - 1, #bytes) or ("\xff"):rep(#bytes)
end

local values = { "write", "watch" }

M.add { name = "flip", help = "invert bits; without bit, bits or mask: `count` random ones (1)",
    needs = values, keys = with(where_keys, { count = "positive" }),
    change = function(f, bytes)
        local mask = chosen(f, bytes)
        local at = mask and f.spec.at or 0
        if not mask and #bytes > 0 then
            mask = random_bits(f, bytes, f.spec.count or 1)
        end
        return bits.combine(bytes, mask or "", at, function(a, b)
            return a ~ b
        end)
    end }

for level = 0, 1 do
    M.add { name = "stuck-at-" .. level, help = ("bits stay %d; without bit, bits or mask: all"):format(level),
        needs = { "hold", "watch" }, keys = where_keys, lasting = true,
        change = function(f, bytes)
            local mask = chosen(f, bytes)
            local at = mask and f.spec.at or 0
            return bits.combine(bytes, mask or all_bits(f, bytes), at, function(a, b)
                return level == 1 and a | b or a & ~b
            end)
        end }
end

M.add { name = "set", help = "another value: `value`, or bytes from byte `at` on", needs = values,
    keys = { value = "bytes", at = "count" }, required = { "value" }, change = function(f, bytes)
        return bits.combine(bytes, operand(f, f.spec.value, bytes), f.spec.at or 0,
            function(_, b)
                return b
            end)
    end }

M.add { name = "xor", help = "exclusive or with `value`", needs = values,
    keys = { value = "bytes", at = "count" }, required = { "value" }, change = function(f, bytes)
        return bits.combine(bytes, operand(f, f.spec.value, bytes), f.spec.at or 0,
            function(a, b)
                return a ~ b
            end)
    end }

M.add { name = "random", help = "random bits; without bit, bits or mask: all", needs = values,
    keys = where_keys, change = function(f, bytes)
        local mask = chosen(f, bytes)
        local at = mask and f.spec.at or 0
        return bits.combine(bytes, mask or all_bits(f, bytes), at, function(a, m)
            return a & ~m | f.random:next() >> 56 & m
        end)
    end }

M.add { name = "corrupt", help = "`count` random bytes (1) become others", needs = values,
    keys = { count = "positive" }, change = function(f, bytes)
        for _ = 1, #bytes > 0 and f.spec.count or #bytes > 0 and 1 or 0 do
            local at = f.random:below(#bytes)
            local noise = 1 + f.random:below(f.target.bits and (1 << f.target.bits) - 1 or 255)
            bytes = bits.combine(bytes, string.char(noise), at, function(a, b)
                return a ~ b
            end)
        end
        return bytes
    end }

M.add { name = "truncate", help = "only the first `length` bytes; without length: random",
    needs = { "frames" }, keys = { length = "count" }, change = function(f, bytes)
        local least = f.target.least or 0
        local length = f.spec.length or least + f.random:below(math.max(1, #bytes - least))
        return bytes:sub(1, math.max(length, least))
    end }

-- ---- what goes by ----

M.add { name = "drop", help = "it does not happen; a read gives all ones", needs = { "watch" },
    before = true, event = function(_, e)
        e.dropped = true
    end }

M.add { name = "error", help = "as if nobody answered: reads give all ones, writes are lost",
    needs = { "refuse" }, before = true, event = function(_, e)
        e.dropped = true
    end }

M.add { name = "duplicate", help = "it happens `count` (1) times more, each `time` (0) later",
    needs = { "again" }, keys = { count = "positive", time = "time" }, flow = true,
    event = function(f, e)
        local ns = check.time(f.spec.time or 0)
        local copy = {}
        for key, value in pairs(e) do
            copy[key] = value
        end
        for i = 1, f.spec.count or 1 do
            f.row.again(f.target, copy, i * ns)
        end
        return { delay = ns > 0 and ns or nil }
    end }

M.add { name = "delay", help = "it happens `time` later", needs = { "send" },
    keys = { time = "time" }, required = { "time" }, flow = true, event = function(f, e)
        e.dropped, e.taken = true, true
        f.row.send(f.target, e, check.time(f.spec.time))
        return { delay = check.time(f.spec.time) }
    end }

M.add { name = "reorder", help = "it happens after the next one, at the latest `within` (10ms)",
    needs = { "ordered" }, keys = { within = "time" }, flow = true, event = function(f, e)
        e.dropped, e.taken = true, true
        f:keep(e, check.time(f.spec.within or "10ms"))
    end }

-- ---- things ----

M.add { name = "spurious", help = "one that nobody asked for", needs = { "spurious" },
    keys = { value = "bytes", time = "time" }, act = function(f)
        return f.row.spurious(f.target, f.spec, f)
    end }

M.add { name = "disconnect", help = "unplugged: a PCI function is off its bus, a link is down",
    needs = { "disconnect" }, lasting = true, hold = function(f)
        return f.row.disconnect(f.target)
    end }

M.add { name = "skew", help = "the cpu's TSC gains `ppm` parts per million (negative: loses)",
    needs = { "skew" }, keys = { ppm = "ppm" }, required = { "ppm" }, lasting = true,
    hold = function(f)
        return f.row.skew(f.target, f.spec)
    end }

--- Effects whose targets know how: the target's function of that name.
for _, row in ipairs {
    { name = "exception", help = "exception `vector`, with error code `code`, address `addr`",
        keys = { vector = "count", code = "count", addr = "integer" }, required = { "vector" } },
    { name = "nmi", help = "a non-maskable interrupt" },
    { name = "mce", help = "a machine check: bank, status, addr, misc, mcg_status",
        keys = { bank = "count", status = "integer", addr = "integer", misc = "integer",
            mcg_status = "integer" } },
    { name = "stall", help = "it executes nothing for `time`", keys = { time = "time" },
        required = { "time" } },
} do
    row.needs = { row.name }
    row.act = function(f)
        return f.row[row.name](f.target, f.spec)
    end
    M.add(row)
end

return M
