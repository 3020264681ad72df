---@meta perilune.cluster
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---clusters of machines
---@class perilune.modules.cluster
local M = {}

---what perilune.cluster() is
---@param options perilune.cluster.options
---@return perilune.cluster
function M.new(options) end

return M
