---@meta perilune.accel
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---which accelerator accel = "auto" means, and why
---@class perilune.modules.accel
---@field mips_wanted integer # how fast KVM must run guest code, in millions of instructions a second
local M = {}

---soft or kvm for a machine with these properties, by trials
---@param properties table
---@param survey? function
---@return string
---@return string
function M.choose(properties, survey) end

return M
