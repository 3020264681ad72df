---@meta perilune.monitor
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---the monitor: docs/monitor.md
---@class perilune.modules.monitor
---@field commands table<string, function> # commands as functions that return data
local M = {}

---the machine that commands are about: the global variable vm
---@return perilune.vm
function M.vm() end

---call f(...) with every cpu standing still
---@param vm perilune.vm
---@param f function
---@param ...? any
---@return any
---@return any ...
function M.still(vm, f, ...) end

---add a command, or replace the one of that name
---@param spec perilune.monitor.command
---@return perilune.monitor.command
function M.command(spec) end

---of all commands, sorted
---@param with_aliases? boolean
---@return string[]
function M.names(with_aliases) end

---execute a line; nil when more lines are needed
---@param line string
---@return string
---@return boolean
function M.execute(line) end

---a reader of lines: feed(line), waiting(), drop()
---@return table
function M.session() end

---lines that it could become
---@param line string
---@return string[]
function M.complete(line) end

---a value as the monitor prints it
---@param value any
---@return string
function M.show(value) end

return M
