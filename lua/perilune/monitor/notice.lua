--- What the monitor says unasked: that the machine was paused or has ended, and by whom.
local M = {}

--- Pauses that last no longer than a command.
local passing = { monitor = true, reset = true }

local author -- who has typed the line that is being executed, where others are told by name
local listeners = {} -- [tell] = true

local function done(outer, ...)
    author = outer
    return ...
end

--- f(...), which does not raise, for somebody of that name.
function M.as(name, f, ...)
    local outer = author
    author = name
    return done(outer, f(...))
end

--- Tell everybody what whoever has typed the line does to the machine, which does not show it by itself.
function M.announce(what)
    if author then
        for tell in pairs(listeners) do
            tell(("%s by %s"):format(what, author), "announced", author)
        end
    end
end

--- Which hook has paused the machine, and where the cpu stands.
function M.why_paused(vm)
    local who = "a hook"
    for _, hook in ipairs(vm:hooks()) do
        if hook.stopped then
            who = ("the hook on %s at %s"):format(hook.event, hook.where)
        end
    end
    local cpu, at = vm.cpus[1], ""
    if cpu then
        local symbol = vm:symbolize(cpu.rip)
        at = (", rip 0x%x%s"):format(cpu.rip, symbol:match("^0x") and "" or " " .. symbol)
    end
    return ("paused by %s%s; c lets it run"):format(who, at)
end

--- Call tell(text, reason, author) whenever there is something to say; author: who has typed what led to
-- it, nil for nobody that is known. Returns what remove() ends.
function M.watch(vm, tell)
    listeners[tell] = true
    vm.symbols:prepare() -- somebody will ask for one, and must not wait then
    local hook = vm:on("state", { name = "monitor" }, function(_, what, reason)
        if what == "exit" then
            tell(("the machine has ended (%s)%s"):format(reason, author and " by " .. author or ""), reason,
                author)
        elseif what == "pause" and reason == "hook" then
            tell(M.why_paused(vm), reason)
        elseif what == "pause" and not passing[reason] then
            tell(("paused (%s)%s; c lets it run"):format(reason, author and " by " .. author or ""), reason,
                author)
        end
    end)
    return { remove = function()
        listeners[tell] = nil
        hook:remove()
    end }
end

return M
