--- What the monitor says unasked: that the machine was paused or has ended, and by whom.
local M = {}

--- Pauses that last no longer than a command.
local passing = { monitor = true, reset = true }

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

--- Call tell(text, reason) whenever there is something to say. Returns the hook.
function M.watch(vm, tell)
    vm.symbols:prepare() -- somebody will ask for one, and must not wait then
    return vm:on("state", { name = "monitor" }, function(_, what, reason)
        if what == "exit" then
            tell(("the machine has ended (%s)"):format(reason), reason)
        elseif what == "pause" and reason == "hook" then
            tell(M.why_paused(vm), reason)
        elseif what == "pause" and not passing[reason] then
            tell(("paused (%s); c lets it run"):format(reason), reason)
        end
    end)
end

return M
