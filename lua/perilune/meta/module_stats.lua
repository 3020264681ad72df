---@meta perilune.stats
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---what a run has done, as data
---@class perilune.modules.stats
local M = {}

---what --stats writes as JSON
---@param vm perilune.vm
---@return table
function M.collect(vm) end

return M
