---@meta perilune.filter
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---filters on networks: docs/net.md
---@class perilune.modules.filter
local M = {}

---one more: "filter-buffer,id=b,netdev=net0,interval=1000"
---@param vm perilune.vm
---@param spec string
---@return perilune.filter|perilune.dump
function M.add(vm, spec) end

---remove the one of that id
---@param vm perilune.vm
---@param id string
function M.remove(vm, id) end

---all of a machine
---@param vm perilune.vm
---@return (perilune.filter|perilune.dump)[]
function M.list(vm) end

return M
