-- What the Lua tests share: named cases, comparisons that say what differed, an exit status.
-- Plain Lua 5.4. New tests are rather written for `perilune test`, see docs/testing.md.
local assertions = require "perilune.test.assert"

local M = {}

local failed, passed = 0, 0

--- Run one case; an error in it is a failure.
function M.case(name, f)
    local ok, message = xpcall(f, debug.traceback)
    if ok then
        passed = passed + 1
        print("ok   " .. name)
    else
        failed = failed + 1
        print("FAIL " .. name .. "\n     " .. message)
    end
end

--- As assert.equal of test files, with the expected value last.
function M.equal(got, expected, what)
    local problem = assertions.difference(expected, got, what)
    if problem then
        error(problem, 2)
    end
end

--- f must raise an error whose text contains `words`.
function M.raises(words, f, ...)
    local ok, message = pcall(f, ...)
    if ok then
        error("no error, expected one with: " .. words, 2)
    end
    if not tostring(message):find(words, 1, true) then
        error(("error %q does not contain %q"):format(tostring(message), words), 2)
    end
end

--- At the end of a file: the summary and the exit status.
function M.finish()
    print(("%d passed, %d failed"):format(passed, failed))
    os.exit(failed == 0 and passed > 0)
end

return M
