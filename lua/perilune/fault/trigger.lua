--- When faults happen: triggers.
--
-- A trigger is a table with one source, and filters for what the source tells of:
--   { exec = "do_sys_openat2", nth = 3 }    { time = "2s" }    { poisson = 0.5 }
-- The sources are rows { name, help, type, keys, start }; start(f, spec, fire) begins to call
-- fire(...) and returns a function that ends it. `once`: it fires once at most. `picks`: it says
-- which single events are meant, where other sources say from when on. Sources any, all and
-- sequence put triggers together; event is what goes by at the fault's own target.
local check = require "perilune.fault.check"
local util = require "perilune.util"

local M = { rows = {}, names = {} }

local row_keys = { name = "string", help = "string", type = "string", keys = "table",
    start = "function", once = "boolean", picks = "boolean" }
local filters = { when = "function", nth = "positive", every = "positive",
    probability = "probability" }

--- Add a source, or replace the one of that name.
function M.add(row)
    check.add(M, "trigger", row, row_keys)
end

local function nothing() end

local function removal(hook)
    return function()
        hook:remove()
    end
end

-- ---- starting ----

--- fire(), but only for what passes the filters: when, nth, every, probability.
local function filtered(f, spec, fire, picks)
    local seen, first = 0, spec.nth or spec.every or 1
    picks = picks or spec.every ~= nil or spec.probability ~= nil
    return function(...)
        if spec.when and not spec.when(...) then
            return
        end
        seen = seen + 1
        if seen < first or spec.every and (seen - first) % spec.every ~= 0 then
            return
        elseif spec.probability and f.random:unit() >= spec.probability then
            return
        end
        return fire(picks, ...)
    end
end

--- Begin to watch for a trigger that was checked: fire(picks, ...) is called each time. Returns a
-- function that ends it.
function M.start(f, spec, fire)
    local row = M.rows[spec.source]
    return row.start(f, spec, filtered(f, spec, fire, row.picks))
end

-- ---- checking ----

local function list_of(where, spec, key)
    for i, child in ipairs(spec[key]) do
        spec[key][i] = M.normal(where, child)
    end
    if #spec[key] == 0 then
        check.fail(where, "trigger: %s needs a list of triggers", key)
    end
end

--- A trigger as users may write it → a table of its own with the name of its source, checked.
function M.normal(where, given)
    if type(given) == "function" then
        given = { when = given }
    elseif type(given) == "string" then
        given = { [given] = true }
    elseif type(given) ~= "table" then
        check.fail(where, "trigger must be a table, text or a function, not %s", tostring(given))
    end
    local spec, source = {}, nil
    for key in pairs(given) do
        if type(key) ~= "string" then
            check.fail(where, "trigger: keys are names, not %s", tostring(key))
        end
    end
    for _, key in ipairs(util.sorted_keys(given)) do
        spec[key] = given[key]
        if M.rows[key] and source then
            check.fail(where, "trigger: %s and %s are both sources; put them together with any, "
                .. "all or sequence", source, key)
        end
        source = M.rows[key] and key or source
    end
    spec.source = source or "event"
    local known = { source = "string" }
    if source then
        known[source] = M.rows[source].type
    else
        for _, name in ipairs(M.names) do
            known[name] = "any"
        end
    end
    check.keys(where, "trigger", spec, known, M.rows[spec.source].keys, filters)
    if source == "any" or source == "all" or source == "sequence" then
        spec[source] = { table.unpack(spec[source]) }
        list_of(where, spec, source)
    end
    return spec
end

--- Does the trigger, or a part of it, satisfy test(row, spec)?
function M.has(spec, test)
    local row = M.rows[spec.source]
    for _, child in ipairs(type(spec[spec.source]) == "table" and row.type == "table"
        and spec[spec.source] or {}) do
        if type(child) == "table" and child.source and M.has(child, test) then
            return true
        end
    end
    return test(row, spec)
end

--- Does it pick single events?
function M.picks(spec)
    return M.has(spec, function(row, s)
        return row.picks or s.every ~= nil or s.probability ~= nil
    end)
end

-- ---- time ----

local function positive(f, ns, what)
    if ns < 1 then
        f.fail("trigger: %s must be greater than 0", what)
    end
    return ns
end

local function now(f)
    return f.vm.clock.virtual.now
end

--- Can registers be reached here?
local function is_still(vm)
    local cpu = vm.cpus[1]
    return not cpu or pcall(function()
        return cpu.rip
    end)
end

M.add { name = "now", help = "at once", type = "any", once = true, start = function(f, _, fire)
    if is_still(f.vm) then
        fire()
        return nothing
    end
    return removal(f.vm:at(0, fire))
end }

M.add { name = "insn", help = "when so many instructions have retired in all", type = "positive",
    once = true, start = function(f, spec, fire)
        return removal(f.vm:on("insn", { at = spec.insn, name = "fault" }, fire))
    end }

M.add { name = "after", help = "so many instructions from now, or a time from now", type = "any",
    once = true, start = function(f, spec, fire)
        local v = spec.after
        local ns = check.time(v) or f.fail("trigger: after must be a number of instructions or "
            .. 'a time such as "5ms", not %s', tostring(v))
        if type(v) == "string" then
            return removal(f.vm:at(now(f) + ns, fire))
        end
        return removal(f.vm:on("insn", { after = positive(f, v, "after"), name = "fault" }, fire))
    end }

M.add { name = "time", help = "at a time of the virtual clock", type = "time", once = true,
    start = function(f, spec, fire)
        local t = check.time(spec.time)
        if t < now(f) then
            f.fail("trigger: it is %d ns already, later than time = %s", now(f),
                tostring(spec.time))
        end
        return removal(f.vm:at(t, fire))
    end }

M.add { name = "period", help = "again and again: instructions, or a time", type = "any",
    picks = true, start = function(f, spec, fire)
        local v = spec.period
        local ns = check.time(v) or f.fail("trigger: period must be a number of instructions or "
            .. 'a time such as "5ms", not %s', tostring(v))
        positive(f, ns, "period")
        if type(v) == "string" then
            return removal(f.vm:every(ns, fire))
        end
        return removal(f.vm:on("insn", { every = v, name = "fault" }, fire))
    end }

M.add { name = "poisson", help = "at random: so often in a virtual second on average",
    type = "rate", picks = true, start = function(f, spec, fire)
        local hook
        local at = now(f)
        local function next_one()
            at = at + math.max(1, math.floor(f.random:exponential() / spec.poisson * 1e9 + 0.5))
            hook = f.vm:at(at, function(vm)
                next_one()
                fire(vm)
            end)
        end
        next_one()
        return function()
            hook:remove()
        end
    end }

-- ---- what happens in the machine ----

--- Any hook: { "exception", vector = 14 }.
local function on(f, event, filter, fire)
    filter.name = filter.name or "fault"
    return removal(f.vm:on(event, filter, function(...)
        fire(...)
    end))
end

--- Symbols of the fault may be unknown yet.
local function may_wait(f, at)
    return type(at) == "string" and f.spec.pending or nil
end

M.add { name = "exec", help = "an instruction at an address or symbol is about to be executed",
    type = "address", keys = { cpu = "count", cr3 = "integer" }, start = function(f, spec, fire)
        return on(f, "exec", { at = spec.exec, cpu = spec.cpu, cr3 = spec.cr3,
            pending = may_wait(f, spec.exec) }, fire)
    end }

local access_keys = { gpa = "address", gva = "address", port = "address", size = "positive",
    dir = "direction", cpu = "count" }

M.add { name = "access", help = "memory or a port is accessed: { gpa, gva or port, size, dir }",
    type = "address", start = function(f, spec, fire)
        local a = spec.access
        if type(a) ~= "table" or a[1] then
            a = { [type(a) == "string" and "gva" or "gpa"] = a }
        end
        check.keys(f.where, "trigger: access", a, access_keys)
        if a.port then
            local dir = a.dir and (a.dir == "read" and "in" or "out") or "both"
            return on(f, "pio", { port = a.port, dir = dir }, fire)
        end
        local stops = {}
        for _, dir in ipairs(a.dir and { a.dir } or { "read", "write" }) do
            stops[#stops + 1] = on(f, dir, { at = a.gpa, gva = a.gva, size = a.size,
                cpu = a.gva and a.cpu,
                pending = may_wait(f, a.gva) }, fire)
        end
        return function()
            for _, stop in ipairs(stops) do
                stop()
            end
        end
    end }

M.add { name = "hook", help = 'any event of vm:on: { "exception", vector = 14 }', type = "table",
    start = function(f, spec, fire)
        local filter = {}
        for key, v in pairs(spec.hook) do
            if key ~= 1 then
                filter[key] = v
            end
        end
        return on(f, spec.hook[1], filter, fire)
    end }

-- ---- the target's own ----

M.add { name = "event", help = "what goes by at the target: an access, a packet, a change of level",
    type = "any", start = function(f, _, fire)
        return f:on_event(fire)
    end }

return M
