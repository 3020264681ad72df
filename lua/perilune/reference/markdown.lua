--- docs/api.md from the reference.
local reference = require "perilune.reference"
local words = require "perilune.reference.words"

local M = {}

local WIDTH <const> = 120

--- Text in lines of at most WIDTH columns, those after the first indented.
local function wrap(text, indent)
    local lines, line, room = {}, "", WIDTH
    -- What is between backquotes is not broken unless it is longer than a line.
    local pieces = text:gsub("`[^`]*`", function(code)
        return utf8.len(code) < WIDTH - 4 and code:gsub(" ", "\0") or code
    end)
    for word in pieces:gmatch("[^ ]+") do
        if line ~= "" and utf8.len(line) + 1 + utf8.len(word) > room then
            lines[#lines + 1] = line
            line, room = word, WIDTH - #indent
        else
            line = line == "" and word or line .. " " .. word
        end
    end
    lines[#lines + 1] = line
    return (table.concat(lines, "\n" .. indent):gsub("%z", " "))
end

--- Names of pages become links.
local function prose(text)
    return (text:gsub("docs/([%w-]+%.md)", "[%1](%1)"))
end

local function code(text)
    return "`" .. text .. "`"
end

--- How an entry is written in Lua.
local function spelling(t, m)
    if m.kind == "method" or m.kind == "function" then
        local gap = m.signature:find("^%(") and "" or " "
        local name = t.label == "globals" and m.name or reference.full_name(t, m)
        return code(name .. gap .. m.signature)
    elseif m.kind == "command" then
        return code(m.signature)
    end
    return code(("%s: %s"):format(m.name, m.signature))
end

local function aliases(m)
    return m.alias and #m.alias > 0 and (" (also `%s`)"):format(table.concat(m.alias, "`, `")) or ""
end

local function entry(t, m)
    local set = m.writable and " May be set." or ""
    local stop = m.help:find("%.$") and "" or "."
    return wrap(("- %s%s: %s%s%s"):format(spelling(t, m), aliases(m), prose(m.help), stop, set), "  ")
end

local groups = {
    { "Modules and global functions", { module = true, globals = true } },
    { "Objects", false },
    { "Tables", { table = true } },
    { "Events", { event = true } },
    { "Commands", { commands = true } },
}

--- A group of types by its row in `groups`.
local function in_group(list, labels)
    local found = {}
    for _, t in ipairs(list) do
        local is_object = true
        for _, group in ipairs(groups) do
            is_object = is_object and not (group[2] and group[2][t.label])
        end
        if labels and labels[t.label] or not labels and is_object then
            found[#found + 1] = t
        end
    end
    return found
end

--- The anchor that a heading gets.
local function anchor(heading)
    return (heading:lower():gsub("[^%w _-]", ""):gsub(" ", "-"))
end

local function contents(out, list)
    for _, group in ipairs(groups) do
        local links = {}
        for i, t in ipairs(in_group(list, group[2])) do
            links[i] = ("[%s](#%s)"):format(t.name, anchor(t.name))
        end
        out[#out + 1] = wrap(("- [%s](#%s): %s"):format(group[1], anchor(group[1]),
            table.concat(links, ", ")), "  ")
    end
end

local kinds = { { "property" }, { "function" }, { "method" }, { "key" }, { "target" },
    { "effect" }, { "trigger" }, { "command" } }

local function section(out, t)
    out[#out + 1] = "### " .. t.name .. "\n"
    out[#out + 1] = wrap(prose(t.help:gsub("^%l", string.upper)) .. ".", "") .. "\n"
    if t.signature then
        out[#out + 1] = wrap(("Its function: `f%s`"):format(t.signature), "") .. "\n"
    end
    for _, kind in ipairs(kinds) do
        local lines = {}
        for _, m in ipairs(t.members) do
            if m.kind == kind[1] then
                lines[#lines + 1] = entry(t, m)
            end
        end
        if #lines > 0 then
            out[#out + 1] = table.concat(lines, "\n") .. "\n"
        end
    end
    if t.further then
        out[#out + 1] = wrap(("Further: %s."):format(t.further:gsub("[ .]+$", "")), "") .. "\n"
    end
end

local function word_table(out)
    for _, row in ipairs(words.rows) do
        local names = {}
        for word in row[1]:gmatch("%S+") do
            names[#names + 1] = code(word)
        end
        out[#out + 1] = wrap(("- %s: %s%s"):format(table.concat(names, ", "), row.help,
            row.of and " (" .. code(row.of) .. ")" or ""), "  ")
    end
end

local head = [[
# The API

Everything that a script can call, read and set. This page is made by `scripts/make-reference` from the tables
that the program itself uses: change those, not this. At the monitor's prompt `help NAME` shows the same entries.
[objects.md](objects.md) introduces the objects, [hooks.md](hooks.md) says what holds for hooks.
]]

local reading = [[
## Signatures

`(a, b [, c]) → d` takes two values or three and returns one; `vm:run()` has a colon because it is a method.
`{ key =, ... } → d` takes a table. A parameter's name says what it takes, unless a type follows it: `(at: symbol)`.
A type is a kind of object below (`vm`, `cpu`), a word of this list, or made of them: `a or b`; `{ a, ... }` is a list,
`{ [name] = a }` a table by name, `{ a, b }` so many values, `{ key = a, other = }` a table with fields,
`function(a) → b` a function, `"text"` that text.
]]

local errors = [[
## Errors

A wrong argument, a name that does not exist, and what cannot be done raise an error that names what was wrong and the
nearest name that there is; a handle whose object is gone raises "closed device" or the like. Errors of the user's own
configuration are objects whose `tostring` is the message. Where a function answers otherwise, its entry says so.
]]

--- The whole page.
function M.page()
    local list = reference.types()
    local out = { head }
    contents(out, list)
    out[#out + 1] = "\n" .. reading
    word_table(out)
    out[#out + 1] = "\n" .. errors
    for _, group in ipairs(groups) do
        out[#out + 1] = "## " .. group[1] .. "\n"
        for _, t in ipairs(in_group(list, group[2])) do
            section(out, t)
        end
    end
    return (table.concat(out, "\n"):gsub("\n+$", "\n"))
end

return M
