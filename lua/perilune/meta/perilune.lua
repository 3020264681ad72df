---@meta perilune
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---what scripts start from
---@class perilune
---@field version string # of Perilune, semantic
---@field api integer # version of the scripting interface
---@field device perilune.modules.device # the module, which is the global variable device too
---@field trace perilune.modules.trace # the module
local M = {}

---make a machine: its name, a file or a definition, and the values of its properties
---@param machine string|perilune.machine_definition
---@param options? perilune.machine.properties
---@return perilune.vm
function M.machine(machine, options) end

---several machines on one virtual clock: cluster { vm, ..., latency = "100us" }
---@param options perilune.cluster.options
---@return perilune.cluster
function M.cluster(options) end

---machine.define: declare a machine
---@param spec perilune.machine.define
---@return perilune.machine_definition
function M.define(spec) end

---what a run has done: what --stats writes
---@param vm perilune.vm
---@return table
function M.stats(vm) end

---serve the loop until done() is true: for luv's events
---@param done function
function M.wait(done) end

---what this host can do: perilune.doctor's examine()
---@return table
function M.doctor() end

---refuse to run under another version of the scripting interface
---@param version integer
function M.require_api(version) end

return M
