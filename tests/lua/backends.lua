-- Cases that run on each backend there is. TEST_BACKENDS may name fewer of them.
local bare = require "bare"
local check = require "check"

local M = { current = nil } -- of the case under way

--- Run a case on every backend on which machine "minimal" can be made.
function M.on_each(what, f)
    for name in (os.getenv("TEST_BACKENDS") or "soft kvm"):gmatch("%S+") do
        local label = ("%s [%s]"):format(what, name)
        local ok, vm = pcall(perilune.machine, "minimal", { accel = name, serial = "none" })
        if ok then
            vm:close()
            M.current = name
            check.case(label, f)
        else
            print(("skip %s: %s"):format(label, vm))
        end
    end
end

--- bare.program() on that backend. machine: its name, "minimal" unless given.
function M.program(code, machine, options)
    options = options or {}
    options.accel = M.current
    options.idle = M.current == "soft" and "warp" or "sleep"
    return bare.program(code, options, function(_, o)
        return perilune.machine(machine or "minimal", o)
    end)
end

return M
