---@meta perilune.machine
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---definitions of machines; the global variable machine too
---@class perilune.modules.machine
local M = {}

---declare a machine; raises with file and line for what is wrong
---@param spec perilune.machine.define
---@return perilune.machine_definition
function M.define(spec) end

---perilune.machine: make a machine, reset and ready to run
---@param machine string|perilune.machine_definition
---@param options? perilune.machine.properties
---@return perilune.vm
function M.create(machine, options) end

---the definition of a name or a file
---@param machine string|perilune.machine_definition
---@return perilune.machine_definition
function M.load(machine) end

---definitions on the path of search
---@return table<string, string>
function M.available() end

return M
