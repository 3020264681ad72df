--- Arguments of monitor commands: how a line becomes values, and how a call from Lua does.
--
-- A command's `args` are rows { name, kind, optional = true, help = "..." }. Kinds: "word", "rest"
-- (the rest of the line), "value" (an integer expression in Lua, $rip is a register), "any" (such an
-- expression of any type), "format" (the /10xw of x). An optional row before others is left out where
-- the words do not suffice for all.
local util = require "perilune.util"

local M = {}

local closing = { ["("] = ")", ["{"] = "}", ["["] = "]" }

--- Words of a line: separated by blanks outside of quotes and brackets. A word that is quoted as a
-- whole loses its quotes. Each is { text = , at = byte }.
function M.words(line)
    local words, stack, quote, start = {}, {}, nil, nil
    local function finish(last)
        if not start then
            return
        end
        local text = line:sub(start, last)
        local inner = text:match('^"(.*)"$') or text:match("^'(.*)'$")
        words[#words + 1] = { text = inner and inner:gsub("\\(.)", "%1") or text, at = start }
        start = nil
    end
    local i = 1
    while i <= #line do
        local c = line:sub(i, i)
        if quote then
            if c == "\\" then
                i = i + 1
            elseif c == quote then
                quote = nil
            end
        elseif c:match("%s") and #stack == 0 then
            finish(i - 1)
        else
            start = start or i
            if c == '"' or c == "'" then
                quote = c
            elseif closing[c] then
                stack[#stack + 1] = closing[c]
            elseif c == stack[#stack] then
                stack[#stack] = nil
            end
        end
        i = i + 1
    end
    finish(#line)
    return words
end

--- Names in expressions: variables, then symbols of the guest.
local function name_of(_, name)
    local v = rawget(_G, name)
    local vm = rawget(_G, "vm")
    if v ~= nil or type(vm) ~= "userdata" then
        return v
    end
    local ok, addr = pcall(vm.symbol, vm, name)
    return ok and addr or nil
end

--- What an expression gives: Lua, in which $name is a register of the first cpu.
local function value_of(text, register)
    local code = text:gsub("%$([%a][%w_]*)", function(name)
        return ("__register(%q)"):format(name)
    end)
    local env = setmetatable({ __register = register }, { __index = name_of })
    local chunk, problem = load("return " .. code, "=expression", "t", env)
    if not chunk then
        util.fail(('"%s" is not an expression: %s'):format(text, problem:gsub("^expression:1: ", "")))
    end
    local value = chunk()
    if value == nil then
        util.fail(text:match("^[%a_][%w_]*$")
            and ('there is no variable and no symbol "%s"'):format(text)
            or ('"%s" has no value'):format(text))
    end
    return value
end

--- An integer from an expression.
function M.evaluate(text, register)
    local value = value_of(text, register)
    return math.tointeger(value)
        or util.fail(('"%s" is %s, not an integer'):format(text, tostring(value)))
end

local sizes = { b = 1, h = 2, w = 4, g = 8 }

--- "/10xw" → { count, format, size }; `default` gives what the text does not.
function M.parse_format(text, default)
    local count, letters = text:match("^/?(%d*)(%a*)$")
    if not count then
        util.fail(('"%s" is not a format such as /10xw'):format(text))
    end
    local f = { count = tonumber(count) or default.count or 1, format = default.format or "x",
        size = default.size or 4 }
    local size_given = false
    for letter in letters:gmatch(".") do
        if sizes[letter] then
            f.size, size_given = sizes[letter], true
        elseif ("xduocsi"):find(letter, 1, true) then
            f.format = letter
        else
            util.fail(('format "%s": "%s" is none of x d u o c s i (how) and b h w g (size)')
                :format(text, letter))
        end
    end
    if f.format == "c" and not size_given then
        f.size = 1
    end
    if f.count > 65536 then
        util.fail(("format \"%s\": at most 65536 values at a time"):format(text))
    end
    return f
end

function M.usage(command)
    local parts = { command.name }
    for _, row in ipairs(command.args) do
        local name = row[2] == "format" and "/FORMAT" or row.usage or row[1]
        parts[#parts + 1] = row.optional and "[" .. name .. "]" or name
    end
    return table.concat(parts, " ")
end

local function convert(row, text, register)
    if row[2] == "value" then
        return M.evaluate(text, register)
    elseif row[2] == "any" then
        return value_of(text, register)
    end
    return text
end

--- Must row `i` go without, so that `left` values suffice for those after it?
local function goes_without(command, i, left)
    local needed = 0
    for k = i + 1, #command.args do
        needed = needed + (command.args[k].optional and 0 or 1)
    end
    return command.args[i].optional and command.args[i][2] ~= "format" and left <= needed
end

local function missing(command, row)
    util.fail(("%s is missing; usage: %s"):format(row.usage and "an argument" or row[1],
        M.usage(command)))
end

--- Values by name from the rest of a line.
function M.from_line(command, rest, register)
    local words, values, at = M.words(rest), {}, 1
    for i, row in ipairs(command.args) do
        local word = words[at]
        local is_format = word and word.text:sub(1, 1) == "/"
        if row[2] == "format" and not is_format or goes_without(command, i, #words - at + 1) then
            word = nil
        end
        if word then
            local last = i == #command.args
            local text = word.text
            local whole = row[2] == "value" or row[2] == "any"
            if row[2] == "rest" or (last and whole and words[at + 1]) then
                text = rest:sub(word.at):gsub("%s+$", "")
                at = #words
            end
            values[row[1]] = convert(row, text, register)
            at = at + 1
        elseif not row.optional then
            missing(command, row)
        end
    end
    if words[at] then
        util.fail(('"%s" is one too many; usage: %s'):format(words[at].text, M.usage(command)))
    end
    return values
end

local function check(command, row, v)
    if row[2] == "value" and not math.tointeger(v) then
        util.fail(("%s: %s must be an integer"):format(command.name, row[1]))
    elseif row[2] == "format" and type(v) ~= "string" then
        util.fail(('%s: %s must be text such as "10xw"'):format(command.name, row[1]))
    end
    return v
end

--- Values by name from a call: f{ name = value } or f(value, ...) in the order of the rows; a
-- format may be left out where the next value is none.
function M.from_call(command, ...)
    local given, values = table.pack(...), {}
    if given.n == 1 and type(given[1]) == "table" then
        local known = {}
        for _, row in ipairs(command.args) do
            known[#known + 1] = row[1]
            values[row[1]] = given[1][row[1]]
        end
        for k in pairs(given[1]) do
            if values[k] == nil then
                util.fail(util.suggest(('%s has no argument "%s"'):format(command.name,
                    tostring(k)), tostring(k), known))
            end
        end
    else
        local at = 1
        for i, row in ipairs(command.args) do
            if not goes_without(command, i, given.n - at + 1)
                and (row[2] ~= "format" or type(given[at]) == "string") then
                values[row[1]] = given[at]
                at = at + 1
            end
        end
        if at <= given.n then
            util.fail(("%s: too many arguments; usage: %s"):format(command.name,
                M.usage(command)))
        end
    end
    for _, row in ipairs(command.args) do
        if values[row[1]] ~= nil then
            check(command, row, values[row[1]])
        elseif not row.optional then
            missing(command, row)
        end
    end
    return values
end

return M
