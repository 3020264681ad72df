---@meta perilune.device
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---device types written in Lua
---@class perilune.modules.device
local M = {}

---declare a device type; raises with file and line for what is wrong
---@param spec perilune.device.define
---@return perilune.device_definition
function M.define(spec) end

---from devices/NAME.lua on the path of search
---@param name string
---@return perilune.device_definition
function M.load(name) end

---from a file that ends with: return device.define { ... }
---@param path string
---@return perilune.device_definition
function M.load_file(path) end

---definitions on the path of search
---@return table<string, string>
function M.available() end

---make a type that a file defines known to a machine
---@param machine perilune.machine
---@param name string
function M.provide(machine, name) end

return M
