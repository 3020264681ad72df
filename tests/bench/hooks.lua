-- What hooks cost: `perilune hooks.lua PROGRAM WHAT` prints lines of "name nanoseconds". PROGRAM is
-- tests/bench/guest/hook.S, whose symbol `hooked` is executed once in each pass. The time is the
-- processor's, around the run alone.
local path, what = arg[1], arg[2]

--- Nanoseconds a pass of a run with what `prepare` installs.
local function measure(passes, prepare)
    local vm = perilune.machine("minimal", { kernel = path, append = tostring(passes), memory = "128M",
        serial = "none", idle = "warp" })
    vm:load_symbols(path)
    vm:reset()
    local hook, hits = prepare(vm, vm:symbol("hooked"))
    local start = os.clock()
    vm:run()
    local ns = (os.clock() - start) * 1e9 / passes
    assert(vm.exit_reason == "debug-exit", vm.exit_reason)
    assert(not hook or hook.hits == hits, hook and hook.hits)
    vm:close()
    return ns
end

local function nothing() end

local function report(name, ns)
    print(("%s\t%.1f"):format(name, ns))
end

local MANY <const> = 2000000

local modes = {}

--- Events that reach a function, and candidates that C turns away.
function modes.events()
    local base = measure(MANY, nothing)
    local function above(name, filter, hits)
        report(name, measure(MANY, function(vm, at)
            filter.at = at + (filter.at or 0)
            return vm:on("exec", filter, nothing), hits
        end) - base)
    end
    above("fires", {}, MANY)
    above("when", { when = { reg = "rbp", eq = 0 } }, 0)
    above("skip", { skip = 1 << 40 }, 0)
    above("elsewhere", { at = 0x1000000 }, 0)
end

--- The same with other hooks installed, and what adding and removing them takes.
function modes.many()
    local base = measure(MANY, nothing)
    for _, count in ipairs { 1, 10, 100, 1000, 10000 } do
        local added
        local fires = measure(MANY // 10, function(vm, at)
            local start = os.clock()
            for n = 1, count - 1 do
                vm:on("exec", { at = 0x40000000 + n * 24 }, nothing)
            end
            local hook = vm:on("exec", { at = at }, nothing)
            added = (os.clock() - start) * 1e9 / count
            return hook, MANY // 10
        end)
        -- One more and one less at every event, while the machine runs.
        local changes = 1000
        local changed = measure(changes, function(vm, at)
            for n = 1, count - 1 do
                vm:on("exec", { at = 0x40000000 + n * 24 }, nothing)
            end
            local other = vm:on("exec", { at = 0x50000000 }, nothing)
            return vm:on("exec", { at = at }, function()
                other:remove()
                other = vm:on("exec", { at = 0x50000000 }, nothing)
            end), changes
        end)
        report("fires " .. count, fires - base)
        report("add " .. count, added)
        report("change " .. count, changed)
    end
end

--- Removing all of many, one by one.
function modes.remove()
    measure(1, function(vm)
        local hooks = {}
        for n = 1, 10000 do
            hooks[n] = vm:on("exec", { at = 0x40000000 + n * 24 }, nothing)
        end
        local start = os.clock()
        for n = 1, #hooks do
            hooks[n]:remove()
        end
        report("remove 10000", (os.clock() - start) * 1e9 / #hooks)
    end)
end

assert(modes[what], "events, many or remove")()
