--- Triggers made of triggers: any, all, sequence.
local trigger = require "perilune.fault.trigger"

local function stop_all(stops)
    return function()
        for _, stop in pairs(stops) do
            stop()
        end
    end
end

trigger.add { name = "any", help = "whenever one of them fires", type = "table",
    start = function(f, spec, fire)
        local stops = {}
        for i, child in ipairs(spec.any) do
            stops[i] = trigger.start(f, child, function(_, ...)
                fire(...)
            end)
        end
        return stop_all(stops)
    end }

trigger.add { name = "all", help = "when each has fired, and whenever one fires after that",
    type = "table", start = function(f, spec, fire)
        local stops, fired, missing = {}, {}, #spec.all
        for i, child in ipairs(spec.all) do
            stops[i] = trigger.start(f, child, function(_, ...)
                if not fired[i] then
                    fired[i] = true
                    missing = missing - 1
                end
                if missing == 0 then
                    fire(...)
                end
            end)
        end
        return stop_all(stops)
    end }

trigger.add { name = "sequence", help = "each begins when the one before has fired; the last counts",
    type = "table", start = function(f, spec, fire)
        local stop
        local function step(i)
            local moved = false
            local ending = trigger.start(f, spec.sequence[i], function(_, ...)
                if i == #spec.sequence then
                    return fire(...)
                elseif moved then
                    return
                end
                moved = true
                if stop then
                    stop()
                end
                step(i + 1)
            end)
            if moved then
                ending() -- it fired at once, and the next one has begun
            else
                stop = ending
            end
        end
        step(1)
        return function()
            stop()
        end
    end }
