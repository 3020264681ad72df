---@meta perilune.fault.campaign
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---many runs of a machine, each with one fault: docs/faults.md
---@class perilune.modules.fault.campaign
---@field outcomes string[] # how a run can end
local M = {}

---do what the command line says; the first campaign is meant unless an option names one
---@param args string[]
---@param list perilune.campaign[]
---@return integer
function M.main(args, list) end

---one bit of a register of 64 bits, or so many
---@param name string
---@param width? integer
---@return perilune.campaign.place
function M.register(name, width) end

---one bit somewhere in a piece of memory
---@param name string
---@param gpa integer
---@param size integer
---@return perilune.campaign.place
function M.ram(name, gpa, size) end

return M
