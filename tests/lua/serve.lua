-- Waiting for what comes from outside of a machine that runs.
local check = require "check"
local uv = require "luv"

local M = {}

local PATIENCE = 20000000000 -- ns

--- Let the machine run, and the loop be served, until f() is true.
function M.until_true(vm, f, what)
    local deadline = uv.hrtime() + PATIENCE
    local timer = uv.new_timer()
    timer:start(1, 5, function()
        if f() or uv.hrtime() > deadline then
            vm:pause("test")
        end
    end)
    repeat
        vm:run()
    until f() or uv.hrtime() > deadline
    timer:close()
    check.equal(f() and true, true, what)
end

return M
