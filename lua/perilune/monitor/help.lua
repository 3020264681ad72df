--- help: of commands, and of everything that the reference knows.
local args = require "perilune.monitor.args"
local reference = require "perilune.reference"
local signature = require "perilune.reference.signature"
local util = require "perilune.util"
local words = require "perilune.reference.words"

local M = {}

local NAME_WIDTH <const> = 34 -- what is longer has a line of its own

-- ---- commands ----

local function with_alias(c)
    local also = c.alias and #c.alias > 0 and " (" .. table.concat(c.alias, ", ") .. ")" or ""
    return args.usage(c) .. also
end

--- A line for each command, by groups in the order in which they came about.
local function list_commands(monitor)
    local groups, by_group = {}, {}
    for _, c in ipairs(monitor.registered()) do
        if not by_group[c.group] then
            groups[#groups + 1] = c.group
            by_group[c.group] = {}
        end
        table.insert(by_group[c.group], c)
    end
    local lines = {}
    for _, group in ipairs(groups) do
        lines[#lines + 1] = group .. ":"
        table.sort(by_group[group], function(a, b)
            return a.name < b.name
        end)
        for _, c in ipairs(by_group[group]) do
            local left = with_alias(c)
            lines[#lines + 1] = ("  %-34s%s%s"):format(left, #left > NAME_WIDTH
                and "\n" .. (" "):rep(NAME_WIDTH + 3) or " ", c.help)
        end
    end
    lines[#lines + 1] = "Any other line is Lua; vm is the machine, _ the last value."
    lines[#lines + 1] = "help NAME tells of a command, or of anything in Lua: help vm, help vm:on, "
        .. "help fault.inject."
    lines[#lines + 1] = "help api lists what there is in Lua; docs/api.md has all of it."
    return table.concat(lines, "\n")
end

local function command_text(c)
    local lines = { with_alias(c), "  " .. c.help }
    for _, row in ipairs(c.args) do
        lines[#lines + 1] = ("  %-12s %s%s"):format(row[1], row.help or row[2],
            row.optional and " (may be left out)" or "")
    end
    if c.name == "info" then
        lines[#lines + 1] = require("perilune.monitor.inform").help()
    end
    lines[#lines + 1] = ('  From Lua: require("perilune.monitor").commands.%s(...)'):format(
        (c.name:gsub("-", "_")))
    return table.concat(lines, "\n")
end

-- ---- the API ----

local calls = { method = true, ["function"] = true }

local function spelling(t, m)
    if not calls[m.kind] then
        return ("%s: %s"):format(reference.full_name(t, m), m.signature)
    end
    local gap = m.signature:find("^%(") and "" or " "
    return reference.full_name(t, m) .. gap .. m.signature
end

--- Words whose meaning is no more than their type.
local plain = {}
for word in ("value boolean string integer number table false nil f g"):gmatch("%S+") do
    plain[word] = true
end

--- What the words of a signature mean.
local function add_words(lines, tree)
    local seen, tables = {}, {}
    for _, t in ipairs(reference.types()) do
        tables[t.name] = t.label == "table" and t or nil
    end
    signature.each_word(tree, function(word)
        local row = words.types[word] or tables[word]
        if row and not seen[word] and not plain[word] then
            seen[word] = true
            lines[#lines + 1] = ("  %-12s %s"):format(word, row.help
                .. (tables[word] and ": help " .. word or ""))
        end
    end)
end

local function member_text(t, m)
    local lines = { spelling(t, m), "  " .. m.help .. (m.writable and "; may be set" or "") }
    add_words(lines, signature.of(m))
    return table.concat(lines, "\n")
end

--- Types whose names begin with this one's: tables in it, events.
local function below(name)
    local names = {}
    for _, t in ipairs(reference.types()) do
        if t.name:sub(1, #name + 1) == name .. "." then
            names[#names + 1] = t.name
        end
    end
    return names
end

local function type_text(t)
    local lines = { ("%s: %s"):format(t.name, t.help) }
    if t.signature then
        lines[#lines + 1] = "  its function: f" .. t.signature
    end
    for _, m in ipairs(t.members) do
        local what = calls[m.kind] and m.signature or ": " .. m.signature
        local gap = calls[m.kind] and not what:find("^%(") and " " or ""
        local name = m.kind == "method" and ":" .. m.name or "." .. m.name
        if m.kind == "key" or t.label == "globals" then
            name = m.name
        end
        local left = name .. gap .. what
        local room = #left > NAME_WIDTH and "\n" .. (" "):rep(NAME_WIDTH + 3)
            or (" "):rep(NAME_WIDTH - utf8.len(left) + 1)
        lines[#lines + 1] = "  " .. left .. room .. m.help
    end
    lines[#lines + 1] = t.further and "  further: " .. t.further
    local more = below(t.name)
    lines[#lines + 1] = #more > 0 and "  see also: " .. table.concat(more, ", ") or nil
    return table.concat(lines, "\n")
end

--- Every type with a line.
local function list_types()
    local lines = {}
    for _, t in ipairs(reference.types()) do
        if t.label ~= "commands" then
            lines[#lines + 1] = ("  %-26s %s"):format(t.name, t.help)
        end
    end
    return table.concat(lines, "\n")
end

-- ---- the command ----

function M.text(monitor, name)
    if not name then
        return list_commands(monitor)
    elseif name == "api" then
        return list_types()
    end
    local c = monitor.find(name)
    local parts = { c and command_text(c) }
    local entries = reference.find(name)
    if not c and #entries == 0 then
        entries = reference.find_members(name)
    end
    for _, found in ipairs(entries) do
        parts[#parts + 1] = found.member and member_text(found.type, found.member)
            or type_text(found.type)
    end
    if #parts == 0 then
        util.fail(monitor.missing[name] and monitor.unknown(name)
            or reference.unknown(name, monitor.names(true)))
    end
    return table.concat(parts, "\n")
end

--- Commands and types; members too once a type's name has been typed.
local function candidates(monitor, prefix)
    local names = monitor.names(true)
    names[#names + 1] = "api"
    local deep = prefix:find("[.:]") ~= nil
    for _, t in ipairs(reference.types()) do
        if t.label ~= "commands" then
            names[#names + 1] = t.name
            names[#names + 1] = t.name:match("^perilune%.(.*)$")
            for _, m in ipairs(deep and t.members or {}) do
                local name = reference.full_name(t, m)
                names[#names + 1] = name
                names[#names + 1] = name:match("^perilune%.(.*)$")
                names[#names + 1] = m.kind == "method" and name:gsub(":", ".", 1) or nil
            end
        end
    end
    return names
end

function M.register(monitor)
    monitor.command { name = "help", alias = { "?" }, args = { { "name", "word", optional = true,
        help = "a command, a type, or a member such as vm:on" } },
        help = "commands, or one of them, or anything of the API",
        complete = function(prefix)
            return candidates(monitor, prefix)
        end,
        run = function(a)
            return M.text(monitor, a.name)
        end,
        show = function(text)
            return text
        end }
end

return M
