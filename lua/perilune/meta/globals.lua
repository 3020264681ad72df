---@meta
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---@type perilune
perilune = nil

---@type perilune.modules.machine
machine = nil

---@type perilune.modules.device
device = nil

---@type perilune.vm
vm = nil
