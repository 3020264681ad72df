--- Typed properties of machines: what a definition declares, and what a user gives.
--
-- A property is a row { type, default, help =, min =, max =, values = }. Types: size, int, bool,
-- onoff, string, enum (one of `values`), list (of strings or tables; one alone is a list of one).
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

--- A size in the largest unit that leaves a whole number.
local function size_text(n)
    for _, unit in ipairs { { "T", 40 }, { "G", 30 }, { "M", 20 }, { "K", 10 } } do
        if n ~= 0 and n % (1 << unit[2]) == 0 then
            return n // (1 << unit[2]) .. unit[1]
        end
    end
    return tostring(n)
end

local function check_range(row, n)
    local low, high = row.min and n < row.min, row.max and n > row.max
    if not low and not high then
        return n
    end
    local show = row[1] == "size" and size_text or tostring
    if row.min and row.max then
        return nil, ("%s is out of range: from %s to %s"):format(show(n), show(row.min), show(row.max))
    end
    return nil, ("%s is out of range: %s %s"):format(show(n), low and "at least" or "at most",
        show(low and row.min or row.max))
end

local function as_integer(v)
    if math.type(v) == "integer" then
        return v
    end
    if type(v) == "string" and v:match("^%s*[-+]?%w+%s*$") then
        return math.tointeger(tonumber(v))
    end
    return type(v) == "number" and math.tointeger(v) or nil
end

local function boolean(v)
    if type(v) == "boolean" then
        return v
    end
    local b
    if type(v) == "string" then
        b = util.parse_bool(v)
    end
    if b == nil then
        return nil, ("%q is neither on nor off"):format(tostring(v))
    end
    return b
end

--- How each type converts a value: returns it, or nil and what is wrong.
local convert = {
    size = function(row, v)
        local n = math.type(v) == "integer" and v or type(v) == "string" and core.parse_size(v)
            or nil
        if not n then
            return nil, ("%q is not a size; write bytes, or a number with K, M, G or T")
                :format(tostring(v))
        end
        return check_range(row, n)
    end,
    int = function(row, v)
        local n = as_integer(v)
        if not n then
            return nil, ("%q is not an integer"):format(tostring(v))
        end
        return check_range(row, n)
    end,
    bool = function(_, v)
        return boolean(v)
    end,
    onoff = function(_, v)
        return boolean(v)
    end,
    string = function(_, v)
        if type(v) ~= "string" then
            return nil, ("a string is wanted, not a %s"):format(type(v))
        end
        return v
    end,
    enum = function(row, v)
        for _, name in ipairs(row.values) do
            if name == v then
                return v
            end
        end
        local text = ("%q is not one of %s"):format(tostring(v), table.concat(row.values, ", "))
        return nil, util.suggest(text, tostring(v), row.values)
    end,
    list = function(_, v)
        if type(v) == "string" then
            return { v }
        elseif type(v) ~= "table" then
            return nil, ("a list is wanted, not a %s"):format(type(v))
        end
        return #v == 0 and next(v) ~= nil and { v } or v
    end,
}

--- Check a row as a definition declares it; raises with `where` ("file:line") in front.
function M.check_row(name, row, where)
    local function wrong(text)
        util.fail(('%s: property "%s": %s'):format(where, tostring(name), text))
    end
    if type(name) ~= "string" or not name:match("^%a[%w%._-]*$") then
        wrong("a name is letters, digits, '.', '_' and '-'")
    end
    if type(row) ~= "table" or type(row[1]) ~= "string" then
        wrong("it is declared as { type, default, help = ... }")
    end
    if not convert[row[1]] then
        wrong(util.suggest(('there is no type "%s"'):format(row[1]), row[1],
            util.sorted_keys(convert)))
    end
    for key in pairs(row) do
        local known = { [1] = true, [2] = true, help = true, min = true, max = true, values = true }
        if not known[key] then
            wrong(util.suggest(('unknown key "%s"'):format(tostring(key)), tostring(key),
                { "help", "min", "max", "values" }))
        end
    end
    if row[1] == "enum" and type(row.values) ~= "table" then
        wrong("an enum needs values = { ... }")
    end
    if row[2] ~= nil then
        local _, problem = convert[row[1]](row, row[2])
        if problem then
            wrong("its default: " .. problem)
        end
    end
end

--- The value of `row` for what the user gave; raises an error that names the property.
function M.value(machine, name, row, given)
    local v, problem = convert[row[1]](row, given)
    if problem then
        util.fail(('machine "%s": property "%s": %s'):format(machine, name, problem),
            { property = name, problem = problem })
    end
    return v
end

--- A default as listings show it.
function M.show_default(row)
    local v = row[2]
    if v == nil then
        return ""
    end
    if type(v) == "table" then
        return table.concat(v, ",")
    end
    return tostring(v)
end

--- What may be given, for listings.
function M.show_type(row)
    if row[1] == "enum" then
        return table.concat(row.values, "|")
    end
    if row.min or row.max then
        return ("%s %s..%s"):format(row[1], row.min or "", row.max or "")
    end
    return row[1]
end

local words = { size = "size", int = "integer", bool = "boolean or string", onoff = "boolean or string",
    string = "string", list = "string or { value, ... }" }

--- What may be given, as signatures of the reference have it.
function M.signature(row)
    if row[1] == "enum" then
        return '"' .. table.concat(row.values, '" or "') .. '"'
    end
    return words[row[1]]
end

return M
