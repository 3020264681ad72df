--- Device types written in Lua: declaring them and finding them.
--
-- device.define { name, parent, registers, mmio, ... } declares one; docs/devices-lua.md shows how.
-- A machine learns of it by m:device(definition, props), m:define(definition), or by its name when
-- the file devices/NAME.lua is on the path of search.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

local Definition = {}
Definition.__index = Definition
Definition.__name = "device definition"
Definition.__tostring = function(self)
    return ('device type "%s" (%s)'):format(self.spec.name, self.where)
end

local loading -- the file that is being loaded, for messages

--- "file:line" of the innermost code that is not Perilune's own: the definition, unless a tail call
-- has left no trace of it.
local function place_of_definition()
    local level = 3
    local info = debug.getinfo(level, "Sl")
    while info and (info.currentline < 0 or info.source:find("/lua/perilune/", 1, true)) do
        level = level + 1
        info = debug.getinfo(level, "Sl")
    end
    if loading and not (info and info.source == "@" .. loading) then
        return loading
    end
    return info and ("%s:%d"):format(info.short_src, info.currentline) or "(a definition)"
end

--- Declare a device type. Raises for what is wrong with it.
function M.define(spec)
    local where = place_of_definition()
    if type(spec) ~= "table" then
        util.fail(("%s: device.define takes a table"):format(where))
    end
    core.check_device_type(spec, where)
    return setmetatable({ spec = spec, where = where, name = spec.name }, Definition)
end

--- Run a file that ends with: return device.define { ... }
function M.load_file(path)
    local chunk, problem = util.load_file(path)
    if not chunk then
        util.fail(problem)
    end
    local outer = loading
    loading = path
    local ok, def = pcall(chunk)
    loading = outer
    if not ok then
        error(def, 0)
    end
    if getmetatable(def) ~= Definition then
        util.fail(("%s: a device definition ends with: return device.define { ... }"):format(path))
    end
    return def
end

local function search_dirs()
    local dirs = {}
    for dir in (core.user_path or ""):gmatch("[^:]+") do
        dirs[#dirs + 1] = dir .. "/devices"
    end
    for _, dir in ipairs(core.dirs) do
        dirs[#dirs + 1] = dir .. "/examples/devices"
    end
    return dirs
end

--- { name = path } of the files NAME.lua in the directories for devices: those called devices on
-- the path of search, then the examples that come with Perilune. The first one wins.
function M.available()
    local found = {}
    for _, dir in ipairs(search_dirs()) do
        for _, file in ipairs(util.list_dir(dir)) do
            local name = file:match("^([%w_.-]+)%.lua$")
            if name and not found[name] then
                found[name] = dir .. "/" .. file
            end
        end
    end
    return found
end

--- The definition in the file devices/NAME.lua.
function M.load(name)
    local found = M.available()
    if not found[name] then
        util.fail(util.suggest(('there is no device definition "%s"'):format(name), name,
            util.sorted_keys(found)))
    end
    return M.load_file(found[name])
end

--- Make the type `name` known to machine `m` if a file on the path of search defines it and no chip
-- is called so.
function M.provide(m, name)
    for _, row in ipairs(core.types()) do
        if row.name == name then
            return
        end
    end
    local path = M.available()[name]
    if path then
        m:define(M.load_file(path))
    end
end

M.reference = {
    { name = "perilune.device", label = "module", help = "device types written in Lua", of = M,
        functions = {
            { "define", "(spec: device.define) → device_definition",
                "declare a device type; raises with file and line for what is wrong" },
            { "load", "(name) → device_definition", "from devices/NAME.lua on the path of search" },
            { "load_file", "(path) → device_definition",
                "from a file that ends with: return device.define { ... }" },
            { "available", "() → { [name] = path }", "definitions on the path of search" },
            { "provide", "(machine, name)", "make a type that a file defines known to a machine" },
        } },
    { name = "device_definition", label = "table", help = "what device.define() returns",
        properties = {
            { "name", "string", "the type's name" },
            { "where", "string", "file and line" },
        } },
}

return M
