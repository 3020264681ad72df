--- Module "perilune": what scripts start from.
local core = require "perilune.core"
local device = require "perilune.device"
local machine = require "perilune.machine"
local util = require "perilune.util"

local M = { version = core.version, api = 1 }

--- perilune.machine(name, { property = value, ... }) → vm. `name` is a machine's name, a
-- definition's file, or a definition.
M.machine = machine.create

--- perilune.cluster { vm, ..., latency =, parallel =, name = } → cluster: several machines on one
-- virtual clock: see docs/cluster.md.
function M.cluster(...)
    return require("perilune.cluster").new(...)
end

--- Declare a machine: see docs/machine.md.
M.define = machine.define

--- Declare a device type: see docs/devices-lua.md. Definitions of machines and devices find it under
-- this name, beside `machine`.
M.device = device
_G.device = device

M.stats = function(vm)
    return require("perilune.stats").collect(vm)
end

--- perilune.wait(done): serve the loop until done() is true: for scripts that wait for luv's events
-- rather than for a machine. See docs/loop.md.
M.wait = core.wait

--- perilune.doctor() → table: what this host can do: see docs/kvm.md.
function M.doctor()
    return require("perilune.doctor").examine()
end

--- Refuse to run under a Perilune that speaks another version of the scripting interface.
function M.require_api(n)
    if n ~= M.api then
        util.fail(("the script wants version %s of the scripting interface; Perilune %s has %d")
            :format(tostring(n), M.version, M.api))
    end
end

M.reference = { { name = "perilune", label = "module", help = "what scripts start from", of = M,
    functions = {
        { "machine", "(machine: string or machine_definition [, options: machine.properties]) → vm",
            "make a machine: its name, a file or a definition, and the values of its properties" },
        { "cluster", "(options: cluster.options) → cluster",
            "several machines on one virtual clock: cluster { vm, ..., latency = \"100us\" }" },
        { "define", "(spec: machine.define) → machine_definition",
            "machine.define: declare a machine" },
        { "stats", "(vm) → table", "what a run has done: what --stats writes" },
        { "wait", "(done: f)", "serve the loop until done() is true: for luv's events" },
        { "doctor", "() → table", "what this host can do: perilune.doctor's examine()" },
        { "require_api", "(version: integer)",
            "refuse to run under another version of the scripting interface" },
    },
    properties = {
        { "version", "string", "of Perilune, semantic" },
        { "api", "integer", "version of the scripting interface" },
        { "device", "perilune.device", "the module, which is the global variable device too" },
        { "trace", "perilune.trace", "the module" },
    } } }

--- What most runs do without is loaded when it is first asked for.
local later = {
    --- Events that machines tell of: perilune.trace.events(); see docs/tracing.md.
    trace = "perilune.trace",
}

return setmetatable(M, {
    __index = function(t, key)
        if later[key] then
            t[key] = require(later[key])
            return rawget(t, key)
        end
    end,
    __pairs = function(t)
        for key in pairs(later) do
            local _ = t[key]
        end
        return next, t
    end,
})
