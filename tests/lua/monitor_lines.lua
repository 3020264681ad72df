-- Lines given to the monitor: those that must go well, those that must fail, and what they say.
local monitor = require "perilune.monitor"

local M = {}

--- The text of a line that must go well.
function M.good(line)
    local text, ok = monitor.execute(line)
    if not ok then
        error(("%q failed: %s"):format(line, tostring(text)), 2)
    end
    return text
end

--- A line must fail, with these words.
function M.bad(line, words)
    local text, ok = monitor.execute(line)
    if ok or not text then
        error(("%q did not fail: %s"):format(line, tostring(text)), 2)
    elseif not text:find(words, 1, true) then
        error(("%q says %q, expected %q in it"):format(line, text, words), 2)
    end
end

function M.contains(text, words)
    if not text:find(words, 1, true) then
        error(("%q is not in %q"):format(words, text), 2)
    end
end

return M
