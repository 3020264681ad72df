---@meta perilune.task_core
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---what tasks and the test runner need from C
---@class perilune.modules.task_core
local M = {}

---does it wait, or is it done; raises what it raised
---@param coroutine thread
---@param task perilune.task
---@param ...? any
---@return boolean
function M.resume(coroutine, task, ...) end

---the code that runs is no hook's
---@return boolean
function M.may_wait() end

---run f as main code for that long in real time; then every instruction raises late
---@param ns integer
---@param late string
---@param f function
---@return boolean
---@return any
---@return string traceback
function M.limited(ns, late, f) end

---as pcall; in a hook the last tenth of its budget is left to the caller
---@param f function
---@param ...? any
---@return boolean
---@return any ...
function M.bounded(f, ...) end

---what is still held of what the guest has written since a byte
---@param chardev perilune.chardev
---@param from? integer
---@return string
---@return integer
function M.history(chardev, from) end

---bytes sent that were not taken
---@param chardev perilune.chardev
---@return integer
function M.waiting(chardev) end

---"30s" in nanoseconds
---@param time integer|string
---@return integer
function M.duration(time) end

---the methods of vm written in Lua
---@param options table<string, function>
function M.set_vm_methods(options) end

return M
