--- The reference: every public function, object, table and event of Lua and C as one list. The
-- monitor's help, docs/api.md and the annotations in lua/perilune/meta are made from it.
--
-- C describes its own in its tables (core.api()). A module in Lua has `reference`: a list of types, or
-- a function that returns one. A type there is { name, label, help, and rows { name, signature, help }
-- in functions, methods, properties, keys }; `of` is the table with its functions, `internal` names
-- those of them that are nobody else's, so that a test sees what is not described.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

--- Modules with a reference.
M.modules = { "perilune", "perilune.machine", "perilune.device", "perilune.task", "perilune.cluster",
    "perilune.filter", "perilune.trace", "perilune.stats", "perilune.accel", "perilune.doctor", "perilune.fault",
    "perilune.fault.campaign", "perilune.monitor", "perilune.monitor.remote", "perilune.test.suite",
    "perilune.test.assert", "perilune.util" }

local kinds = { { "properties", "property" }, { "functions", "function" }, { "methods", "method" },
    { "keys", "key" } }

--- Types as modules write them, in order: { { name, label, help, ... }, ... }.
function M.described()
    local list = {}
    for _, name in ipairs(M.modules) do
        local module = require(name)
        local reference = type(module) == "table" and module.reference or {}
        for _, row in ipairs(type(reference) == "function" and reference() or reference) do
            list[#list + 1] = row
        end
    end
    return list
end

local function from_lua(row)
    local members = {}
    for _, kind in ipairs(kinds) do
        for _, m in ipairs(row[kind[1]] or {}) do
            members[#members + 1] = { name = m[1], kind = m.kind or kind[2], signature = m[2],
                help = m[3], writable = m.writable or false }
        end
    end
    return { name = row.name, label = row.label, help = row.help, further = row.further,
        members = members }
end

--- The monitor's commands.
local function commands()
    local monitor = require "perilune.monitor"
    local members = {}
    for i, name in ipairs(monitor.names()) do
        local c = monitor.find(name)
        members[i] = { name = name, kind = "command", signature = monitor.usage(c), help = c.help,
            writable = false, alias = c.alias, args = c.args, group = c.group }
    end
    return { name = "monitor commands", label = "commands", members = members,
        help = "what can be typed at the monitor's prompt, and monitor.commands.NAME(...)" }
end

--- { { name, label, help, further, signature, members = { { name, kind, signature, help, writable },
-- ... } }, ... }: modules first, then objects, then tables and events; each group by name.
function M.types()
    local list = core.api()
    for _, row in ipairs(M.described()) do
        list[#list + 1] = from_lua(row)
    end
    list[#list + 1] = commands()
    local rank = { module = 1, globals = 1, table = 3, event = 4, commands = 5 }
    for _, t in ipairs(list) do
        t.rank = rank[t.label] or 2
    end
    table.sort(list, function(a, b)
        if a.rank ~= b.rank then
            return a.rank < b.rank
        end
        return a.name < b.name
    end)
    return list
end

--- "vm:on" of a member.
function M.full_name(t, m)
    if m.kind == "command" or t.label == "globals" then
        return m.name
    end
    return t.name .. (m.kind == "method" and ":" or ".") .. m.name
end

--- All names that find() knows, sorted: types, and members with their type's name before them.
function M.names()
    local names = {}
    for _, t in ipairs(M.types()) do
        if t.label ~= "commands" then
            names[#names + 1] = t.name
            for _, m in ipairs(t.members) do
                names[#names + 1] = M.full_name(t, m)
            end
        end
    end
    table.sort(names)
    return names
end

--- Names as people type them: "perilune." may be left out, and a colon may be a dot.
local function plain(name)
    return (name:gsub(":", "."):gsub("^perilune%.", ""):gsub("%(.*$", ""))
end

local function matching(test)
    local found = {}
    for _, t in ipairs(M.types()) do
        for _, m in ipairs(t.label ~= "commands" and t.members or {}) do
            if test(t, m) then
                found[#found + 1] = { type = t, member = m }
            end
        end
    end
    return found
end

--- What a name means: { { type = t, member = m or nil }, ... }, none if nothing has that name.
function M.find(name)
    local wanted, found = plain(name), {}
    for _, t in ipairs(M.types()) do
        if t.label ~= "commands" and plain(t.name) == wanted then
            found[#found + 1] = { type = t }
        end
    end
    local members = matching(function(t, m)
        return plain(M.full_name(t, m)) == wanted
    end)
    return table.move(members, 1, #members, #found + 1, found)
end

--- Members of that name, whatever their type.
function M.find_members(name)
    return matching(function(_, m)
        return m.name == name
    end)
end

--- 'there is no help about "NAME"; did you mean ...'
function M.unknown(name, further)
    local names = M.names()
    local candidates = table.move(further or {}, 1, #(further or {}), 1, {})
    for _, each in ipairs(names) do
        candidates[#candidates + 1] = each
        candidates[#candidates + 1] = plain(each)
    end
    return util.suggest(('there is no help about "%s"'):format(name), name, candidates)
end

return M
