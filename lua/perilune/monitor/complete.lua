--- Completion: what could stand at the end of a line.
local core = require "perilune.core"
local inform = require "perilune.monitor.inform"
local util = require "perilune.util"

local M = {}

local words = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto",
    "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }

local MAX_KEYS = 500

--- Candidates that begin with `prefix`, sorted, each once, with `before` in front.
local function matching(prefix, before, ...)
    local found, seen = {}, {}
    for _, names in ipairs { ... } do
        for _, name in ipairs(names) do
            if name:sub(1, #prefix) == prefix and not seen[name] then
                seen[name] = true
                found[#found + 1] = before .. name
            end
        end
    end
    table.sort(found)
    return found
end

local function string_keys(t)
    local keys = {}
    for k in pairs(t) do
        if type(k) == "string" and k:match("^[%a_][%w_]*$") then
            keys[#keys + 1] = k
        end
        if #keys >= MAX_KEYS then
            break
        end
    end
    return keys
end

--- Fields and methods of an object or a table.
local function fields(object)
    local meta = getmetatable(object)
    if type(object) == "userdata" then
        local ok, names = pcall(core.names, object)
        return ok and names or {}
    elseif type(object) == "string" then
        return string_keys(string)
    elseif type(object) ~= "table" then
        return {}
    end
    local ok, names = pcall(string_keys, object)
    names = ok and names or {}
    local inherited = type(meta) == "table" and rawget(meta, "__index")
    if type(inherited) == "table" then
        local more = string_keys(inherited)
        table.move(more, 1, #more, #names + 1, names)
    end
    return names
end

--- The value of a.b[1].c without calling anything that was written by the user.
local function value_of(path)
    local at = _G
    for part, index in path:gmatch("([%w_]*)(%[?[^%].:]*%]?)[.:]?") do
        if part ~= "" then
            local ok, v = pcall(function()
                return at[part]
            end)
            at = ok and v or nil
        end
        if index ~= "" and at ~= nil then
            local n = math.tointeger(tonumber(index:match("^%[(%d+)%]$")))
            local key = n or index:match("^%[[\"'](.*)[\"']%]$")
            local ok, v = pcall(function()
                return at[key]
            end)
            at = ok and key and v or nil
        end
        if at == nil then
            return nil
        end
    end
    return at
end

local function machine()
    local vm = rawget(_G, "vm")
    local ok, devices = pcall(function()
        return vm:devices()
    end)
    return ok and vm or nil, ok and devices or {}
end

--- Full paths, or names of devices, as qom-get takes them.
local function device_paths(prefix)
    local names = {}
    local _, devices = machine()
    for _, d in ipairs(devices) do
        local path = d.path or ""
        names[#names + 1] = path
        if prefix:sub(1, 1) ~= "/" then
            names[#names + 1] = path:match("[^/]+$")
            names[#names + 1] = d.type
        end
    end
    return names
end

local function property_names(path)
    local vm = machine()
    local ok, device = pcall(require("perilune.monitor.devices").find_device, vm, path)
    local names = {}
    for _, p in ipairs(ok and device:properties() or {}) do
        names[#names + 1] = p.name
    end
    return names
end

local function complete_qom(line, before, prefix)
    local given = util.sorted_keys {}
    for word in line:gmatch("%S+") do
        given[#given + 1] = word
    end
    local index = #given - (prefix ~= "" and 1 or 0)
    if index == 1 then
        return matching(prefix, before, device_paths(prefix))
    elseif index == 2 and given[1] ~= "qom-list" then
        return matching(prefix, before, property_names(given[2]))
    end
    return {}
end

local function symbol_names(prefix)
    local vm = machine()
    local ok, names = pcall(function()
        return vm:symbol_names(prefix, MAX_KEYS)
    end)
    return ok and #prefix > 1 and names or {}
end

local function complete_lua(before, prefix, symbols)
    local path, separator, last = prefix:match("^(.-)([.:])([%w_]*)$")
    if path then
        local object = value_of(path)
        if object == nil then
            return {}
        end
        return matching(last, before .. path .. separator, fields(object))
    end
    return matching(prefix, before, string_keys(_G), words, symbols and symbol_names(prefix) or {})
end

--- Whole lines that `text` could become.
function M.complete(monitor, text)
    local first = text:match("^%s*(%S*)$")
    if first and not first:find("[.:(]") then
        return matching(first, text:sub(1, #text - #first), monitor.names(true), string_keys(_G))
    end
    local register = text:match("%$(%w*)$")
    if register then
        return matching(register, text:sub(1, #text - #register), inform.registers)
    end
    local name = text:match("^%s*([%a?][%w_-]*)%s")
    local command = name and monitor.find(name)
    local prefix = text:match("%S*$")
    if command and command.name:match("^qom%-") then
        return complete_qom(text, text:sub(1, #text - #prefix), prefix)
    elseif command and command.complete then
        return matching(prefix, text:sub(1, #text - #prefix), command.complete(prefix))
    end
    prefix = text:match("[%w_.:%[%]\"']*$")
    return complete_lua(text:sub(1, #text - #prefix), prefix, command ~= nil)
end

return M
