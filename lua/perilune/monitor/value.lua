--- Values as the monitor prints them: big integers with their hexadecimal form, tables bounded and
-- safe against cycles, objects as they print themselves.
local M = {}

local MAX_ENTRIES = 64 -- of one table
local MAX_DEPTH = 4
local MAX_TEXT = 16384 -- bytes of one string
local PLAIN = 10 -- integers from here on are shown in hexadecimal as well

local function integer(n)
    if n >= -PLAIN and n < PLAIN then
        return ("%d"):format(n)
    end
    return ("0x%x (%d)"):format(n, n)
end

--- Quoted on one line: Lua's %q, but with \n for a line break.
local function quoted(text)
    local cut = #text > MAX_TEXT
    local shown = ("%q"):format(cut and text:sub(1, MAX_TEXT) or text):gsub("\\\n", "\\n")
    return cut and ("%s... (%d bytes)"):format(shown, #text) or shown
end

--- Integers from 1 on first, then what can be sorted by name: printing must not depend on hashing.
local function ordered_keys(t)
    local rest = {}
    for k in next, t do
        if not (math.type(k) == "integer" and k >= 1 and k <= #t) then
            rest[#rest + 1] = k
        end
    end
    table.sort(rest, function(a, b)
        local x, y = type(a), type(b)
        if x ~= y then
            return x < y
        elseif x == "number" or x == "string" then
            return a < b
        end
        return tostring(a) < tostring(b)
    end)
    return rest
end

local show

local function key_text(k, state)
    if type(k) == "string" and k:match("^[%a_][%w_]*$") then
        return k
    end
    return "[" .. show(k, state) .. "]"
end

local function entries(t, state)
    local parts = {}
    for i = 1, math.min(#t, MAX_ENTRIES) do
        parts[#parts + 1] = show(rawget(t, i), state)
    end
    local rest = ordered_keys(t)
    for _, k in ipairs(rest) do
        if #parts >= MAX_ENTRIES then
            break
        end
        parts[#parts + 1] = key_text(k, state) .. " = " .. show(rawget(t, k), state)
    end
    local hidden = #t + #rest - #parts
    if hidden > 0 then
        parts[#parts + 1] = ("... (%d more)"):format(hidden)
    end
    return parts
end

local function table_text(t, state)
    local meta = getmetatable(t)
    if type(meta) == "table" and rawget(meta, "__tostring") then
        return tostring(t)
    elseif state.path[t] then
        return "(this table again)"
    elseif state.depth >= MAX_DEPTH then
        return next(t) == nil and "{}" or "{...}"
    end
    state.path[t] = true
    state.depth = state.depth + 1
    local parts = entries(t, state)
    state.depth = state.depth - 1
    state.path[t] = nil
    local width = 0
    for _, part in ipairs(parts) do
        width = width + #part + 2
    end
    if width <= 76 and not table.concat(parts):find("\n", 1, true) then
        return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
    end
    local indent = ("  "):rep(state.depth + 1)
    return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n"
        .. ("  "):rep(state.depth) .. "}"
end

function show(v, state)
    if math.type(v) == "integer" then
        return integer(v)
    elseif type(v) == "string" then
        return quoted(v)
    elseif type(v) == "table" then
        return table_text(v, state)
    end
    return tostring(v)
end

--- The text of one value.
function M.show(v)
    return show(v, { path = {}, depth = 0 })
end

--- What f says of each row, a line each.
function M.lines(rows, f)
    local lines = {}
    for i, row in ipairs(rows) do
        lines[i] = f(row)
    end
    return table.concat(lines, "\n")
end

return M
