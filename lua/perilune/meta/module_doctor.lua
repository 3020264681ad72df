---@meta perilune.doctor
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---what this host can do, and what to do about the rest
---@class perilune.modules.doctor
local M = {}

---look, by trials too: { usable =, accel =, why =, facts =, rows = { { group =, name =, state =, text =, remedy = }, ... } }
---@return table
function M.examine() end

---what there is
---@return table
function M.facts() end

---what is said of facts
---@param facts table
---@return table[]
function M.judge(facts) end

return M
