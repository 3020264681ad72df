---@meta perilune.trace
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---events as lines: what --trace and the monitor ask for; vm:trace() calls functions
---@class perilune.modules.trace
local M = {}

---every event that can be traced
---@return { name?: string, help?: string, args?: table[] }[]
function M.events() end

---their names, sorted
---@return string[]
function M.names() end

---as --trace: "e1000.*,-e1000.reg_*,file=PATH,format=json"
---@param vm perilune.vm
---@param text string
function M.apply(vm, text) end

return M
