---@meta perilune.fault
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---deliberate faults: docs/faults.md
---@class perilune.modules.fault
local M = {}

---inject a fault; raises for what is wrong, and then there is none
---@param vm perilune.vm
---@param spec perilune.fault.inject
---@return perilune.fault
function M.inject(vm, spec) end

---all of a machine, in order of injection
---@param vm perilune.vm
---@return perilune.fault[]
function M.list(vm) end

---where random numbers of further faults begin
---@param vm perilune.vm
---@param seed integer
function M.seed(vm, seed) end

---which effect fits which target
---@return { target?: string, effects?: string[] }[]
function M.grid() end

---log to a file or to f(line, entry); nil: no more
---@param where? string|function
function M.log(where) end

---the generator that faults use
---@param seed integer
---@param stream integer|string
---@return perilune.fault_random
function M.random(seed, stream) end

---add a target; docs/faults.md has its fields
---@param row table
function M.target(row) end

---add an effect
---@param row table
function M.effect(row) end

---add a source of triggers
---@param row table
function M.trigger(row) end

return M
