--- What a fault's tables may hold: keys by name and type, the nearest name for one that is wrong,
-- and where in the user's script the table was given.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

--- Nanoseconds from an integer or from text such as "5ms"; nil for anything else.
function M.time(v)
    if type(v) == "string" then
        return core.parse_time(v)
    end
    return math.type(v) == "integer" and v >= 0 and v or nil
end

--- Bytes from an integer or from text such as "64M"; nil for anything else.
function M.size(v)
    local n = math.type(v) == "integer" and v or type(v) == "string" and core.parse_size(v)
    return n and n > 0 and n or nil
end

local function is_count(v)
    return math.type(v) == "integer" and v >= 0
end

--- Types of keys: { what to say, test }.
local types = {
    integer = { "an integer", function(v)
        return math.type(v) == "integer"
    end },
    count = { "an integer from 0 on", is_count },
    positive = { "an integer from 1 on", function(v)
        return is_count(v) and v > 0
    end },
    number = { "a number", function(v)
        return type(v) == "number"
    end },
    rate = { "a number greater than 0", function(v)
        return type(v) == "number" and v > 0 and v < math.huge
    end },
    ppm = { "parts per million: more than -1000000, at most 1000000", function(v)
        return math.type(v) == "integer" and v > -1000000 and v <= 1000000
    end },
    probability = { "a number from 0 to 1", function(v)
        return type(v) == "number" and v >= 0 and v <= 1
    end },
    string = { "text", function(v)
        return type(v) == "string"
    end },
    boolean = { "true or false", function(v)
        return type(v) == "boolean"
    end },
    time = { 'nanoseconds or text such as "5ms"', function(v)
        return M.time(v) ~= nil
    end },
    size = { 'bytes or text such as "64M"', function(v)
        return M.size(v) ~= nil
    end },
    bits = { "a list of numbers of bits", function(v)
        for _, bit in ipairs(type(v) == "table" and v or {}) do
            if not is_count(bit) then
                return false
            end
        end
        return type(v) == "table" and #v > 0
    end },
    bytes = { "an integer or a string of bytes", function(v)
        return type(v) == "string" or math.type(v) == "integer"
    end },
    address = { "an address, a symbol or { first, last }", function(v)
        return type(v) == "string" or type(v) == "table" or math.type(v) == "integer"
    end },
    direction = { '"read" or "write"', function(v)
        return v == "read" or v == "write"
    end },
    ["function"] = { "a function", function(v)
        return type(v) == "function"
    end },
    table = { "a table", function(v)
        return type(v) == "table"
    end },
    object = { "an object or its name", function(v)
        return type(v) == "string" or type(v) == "userdata"
    end },
    any = { "a value", function()
        return true
    end },
}

--- Raise an error about a spec, with the place it came from.
function M.fail(where, text, ...)
    util.fail(("%s: fault: %s"):format(where, select("#", ...) > 0 and text:format(...) or text))
end

--- Raise: `name` is none of the names in `known`.
function M.unknown(where, text, name, known)
    M.fail(where, "%s", util.suggest(text:format(tostring(name)), tostring(name), known))
end

--- Every key of `t` must be in one of the tables `sets` = { key = type }; `what` names t.
function M.keys(where, what, t, ...)
    local known = {}
    for _, set in ipairs { ... } do
        for key, kind in pairs(set) do
            known[key] = kind
        end
    end
    for key in pairs(t) do
        if known[key] == nil then
            M.unknown(where, what .. ': unknown key "%s"', key, util.sorted_keys(known))
        end
    end
    for _, key in ipairs(util.sorted_keys(t)) do
        local rule = types[known[key]]
        if not rule[2](t[key]) then
            M.fail(where, "%s: %s must be %s, not %s", what, key, rule[1],
                type(t[key]) == "string" and ("%q"):format(t[key]) or tostring(t[key]))
        end
    end
end

--- Add a row to a table { rows, names } of targets, effects or triggers, or replace the one of that
-- name.
function M.add(to, kind, row, known)
    local where = M.place()
    M.keys(where, kind, row, known)
    if not row.name then
        M.fail(where, "%s: a name is missing", kind)
    end
    for key, key_type in pairs(row.keys or {}) do
        if not types[key_type] then
            M.unknown(where, ('%s "%s": key %s: there is no type "%%s"'):format(kind, row.name,
                key), key_type, util.sorted_keys(types))
        end
    end
    row.keys = row.keys or {}
    if not to.rows[row.name] then
        to.names[#to.names + 1] = row.name
    end
    to.rows[row.name] = row
end

--- "file:line" of the innermost code that is not Perilune's own.
function M.place()
    for level = 2, 60 do
        local info = debug.getinfo(level, "Sl")
        if not info then
            break
        elseif info.currentline > 0 and not info.source:find("/lua/perilune/", 1, true) then
            return ("%s:%d"):format(info.short_src, info.currentline)
        end
    end
    return "monitor"
end

--- The text of an error without the place where it was raised.
function M.plain(problem)
    return (tostring(problem):gsub("^%S+%.lua:%d+: ", ""))
end

return M
