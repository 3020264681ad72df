--- Module "perilune.fault": deliberate faults. docs/faults.md has the manual.
--
-- A fault is target × effect × trigger × duration. target.lua, stream.lua and thing.lua have the
-- targets, effect.lua the effects, trigger.lua and combine.lua the triggers, each as rows of a
-- table; life.lua and passing.lua are what a fault does from its injection to its end.
local check = require "perilune.fault.check"
local effect = require "perilune.fault.effect"
local life = require "perilune.fault.life"
local log = require "perilune.fault.log"
local machine = require "perilune.machine"
local random = require "perilune.fault.random"
local target = require "perilune.fault.target"
local trigger = require "perilune.fault.trigger"
local util = require "perilune.util"

require "perilune.fault.combine"
require "perilune.fault.stream"
require "perilune.fault.thing"

local M = {
    --- fault.target { ... }, fault.effect { ... }, fault.trigger { ... }: one row more of each table.
    target = target.add,
    effect = effect.add,
    trigger = trigger.add,
    --- fault.random(seed, stream): the generator that faults use.
    random = random.new,
    --- fault.log(path, function(line, entry) or nil)
    log = log.to,
}

local of_vm = setmetatable({}, { __mode = "k" }) -- vm → { list of faults, seed }

local common = { target = "string", effect = "string", trigger = "any", duration = "any",
    name = "string", seed = "integer", pending = "boolean" }

local function record_of(vm)
    if not of_vm[vm] then
        of_vm[vm] = { faults = {} }
        vm:on("state", { name = "log of faults" }, log.flush)
    end
    return of_vm[vm]
end

--- Names of the effects that suit target `row`, in the order of the table.
local function fitting(row)
    local names = {}
    for _, name in ipairs(effect.names) do
        if effect.fits(effect.rows[name], row) then
            names[#names + 1] = name
        end
    end
    return names
end

local function find_row(where, kind, rows, name)
    if name == nil then
        check.fail(where, "%s is missing; there are: %s", kind,
            table.concat(util.sorted_keys(rows), ", "))
    elseif not rows[name] then
        check.unknown(where, "there is no " .. kind .. ' "%s"', name, util.sorted_keys(rows))
    end
    return rows[name]
end

local function required(where, kind, row, spec)
    for _, key in ipairs(row.required or {}) do
        if spec[key] == nil then
            check.fail(where, "%s %s needs %s", kind, row.name, key)
        end
    end
end

--- Target and effect of a spec, after all its keys were checked.
local function rows_of(where, spec)
    local row = find_row(where, "target", target.rows, spec.target)
    if row.missing then
        check.fail(where, "target %s: %s", row.name, row.missing)
    end
    local what = find_row(where, "effect", effect.rows, spec.effect)
    if not effect.fits(what, row) then
        check.fail(where, "effect %s does not fit target %s; what fits: %s", what.name, row.name,
            table.concat(fitting(row), ", "))
    end
    check.keys(where, row.name .. " " .. what.name, spec, common, row.keys, what.keys)
    required(where, "target", row, spec)
    required(where, "effect", what, spec)
    return row, what
end

--- { times =, time = }; neither: until released.
local function duration_of(where, given, default)
    local d = given
    if d == nil then
        d = default
    end
    if d == "once" then
        return { times = 1 }
    elseif d == "released" then
        return {}
    elseif type(d) ~= "table" then
        check.fail(where, 'duration must be "once", "released" or { times =, time = }, not %s',
            tostring(d))
    end
    check.keys(where, "duration", d, { times = "positive", time = "time" })
    return { times = d.times, time = d.time and check.time(d.time) }
end

--- What makes no sense together.
local function check_sense(where, mode, row, when, duration)
    if not row.watch and trigger.has(when, function(_, s)
        return s.source == "event"
    end) then
        check.fail(where, "target %s has no events of its own; the trigger needs a source: %s",
            row.name, table.concat(trigger.names, ", "))
    elseif mode == "hold" and duration.times and not duration.time then
        check.fail(where, 'what lasts takes duration = "released" or { time = }')
    elseif mode == "act" and (duration.times or 1) > 1 and trigger.rows[when.source].once then
        check.fail(where, "the trigger %s fires once, so times = %d is never reached; period, "
            .. "exec and others fire again", when.source, duration.times)
    end
end

--- Inject a fault into a machine. Returns its handle; raises for what is wrong with the spec, and
-- then there is no fault.
function M.inject(vm, spec)
    local where = check.place()
    if type(vm) ~= "userdata" or type(spec) ~= "table" then
        check.fail(where, "fault.inject(vm, { target =, effect =, trigger =, duration = })")
    end
    local row, what = rows_of(where, spec)
    local mode = life.mode_of(row, what)
    local given = spec.trigger
    if given == nil then
        given = mode == "stream" and "event" or "now"
    end
    local when = trigger.normal(where, given)
    local lasts = what.lasting or trigger.picks(when)
    local duration = duration_of(where, spec.duration, lasts and "released" or "once")
    check_sense(where, mode, row, when, duration)
    if mode == "hold" and duration.time then
        duration.times = duration.times or 1
    end
    local function fail(text, ...)
        check.fail(where, "target " .. row.name .. ": " .. text, ...)
    end
    local t = { vm = vm, spec = spec, effect = what, fail = fail }
    local own = record_of(vm)
    for _, other in ipairs(own.faults) do
        if spec.name and other.name == spec.name then
            check.fail(where, 'the name "%s" is taken', spec.name)
        end
    end
    if row.open then
        row.open(t)
    end
    local index = #own.faults + 1
    local seed = spec.seed or own.seed or (machine.properties[vm] or {}).seed or 1
    local f = life.new { vm = vm, spec = spec, row = row, effect = what, target = t, where = where,
        fail = fail, index = index, name = spec.name, label = t.label, times = duration.times,
        time = duration.time, random = random.new(seed, spec.name or index) }
    t.random = f.random
    --- What f(...) returns; nil when it raises, which is recorded.
    function t.attempt(g, ...)
        local done, result = pcall(g, ...)
        if not done then
            f:record("failed", { problem = check.plain(result) })
        end
        return done and result or nil
    end
    own.faults[index] = f
    local ok, problem = pcall(life.start, f, when)
    if not ok then
        own.faults[index] = nil
        if type(problem) == "string" then
            check.fail(where, "%s", check.plain(problem))
        end
        error(problem, 0)
    end
    return f
end

--- All faults of a machine, in order of injection.
function M.list(vm)
    local faults = of_vm[vm] and of_vm[vm].faults or {}
    return table.move(faults, 1, #faults, 1, {})
end

--- Where the random numbers of this machine's further faults begin; else its property "seed".
function M.seed(vm, seed)
    record_of(vm).seed = seed
end

--- { { target =, effects = { name, ... } }, ... }: which effect fits which target.
function M.grid()
    local rows = {}
    for i, name in ipairs(target.names) do
        rows[i] = { target = name, effects = fitting(target.rows[name]) }
    end
    return rows
end

-- ---- reference ----

--- What types of keys are in signatures.
local words = { count = "integer", positive = "integer", rate = "number", probability = "number",
    bits = "{ integer, ... }", bytes = "integer or bytes", address = "address or symbol or range",
    direction = '"read" or "write"', ["function"] = "f", object = "value or string", any = "value" }

local function key_rows(keys, helps)
    local rows = {}
    for i, key in ipairs(util.sorted_keys(keys)) do
        rows[i] = { key, words[keys[key]] or keys[key], helps[key] }
    end
    return rows
end

--- A table of targets, effects or triggers.
local function table_reference(name, kind, help, from, further)
    local rows = {}
    for i, each in ipairs(from.names) do
        local row, fields = from.rows[each], {}
        if row.type then
            fields[1] = ("%s = %s"):format(each, words[row.type] or row.type)
        end
        for _, key in ipairs(util.sorted_keys(row.keys)) do
            fields[#fields + 1] = ("%s = %s"):format(key, words[row.keys[key]] or row.keys[key])
        end
        rows[i] = { each, "{ " .. table.concat(fields, ", ") .. (#fields > 0 and " }" or "... }"),
            row.help or row.missing, kind = kind }
    end
    return { name = name, label = "table", help = help, keys = rows, further = further }
end

function M.reference()
    return {
        { name = "perilune.fault", label = "module", help = "deliberate faults: docs/faults.md", of = M,
            functions = {
                { "inject", "(vm, spec: fault.inject) → fault",
                    "inject a fault; raises for what is wrong, and then there is none" },
                { "list", "(vm) → { fault, ... }", "all of a machine, in order of injection" },
                { "seed", "(vm, seed: integer)", "where random numbers of further faults begin" },
                { "grid", "() → { { target = string, effects = { string, ... } }, ... }",
                    "which effect fits which target" },
                { "log", "([where: path or f])", "log to a file or to f(line, entry); nil: no more" },
                { "random", "(seed: integer, stream: integer or string) → fault_random",
                    "the generator that faults use" },
                { "target", "(row: table)", "add a target; docs/faults.md has its fields" },
                { "effect", "(row: table)", "add an effect" },
                { "trigger", "(row: table)", "add a source of triggers" },
            } },
        { name = "fault.inject", label = "table", help = "what fault.inject takes, beside the keys of "
            .. "target and effect",
            keys = key_rows(common, {
                target = "what it happens to: fault.targets", effect = "what it does: fault.effects",
                trigger = "when: fault.triggers, or its name; now unless given",
                duration = '"once", "released" or { times =, time = }',
                name = "what it is called", seed = "of its random numbers",
                pending = "its symbols may be unknown yet: a module's" }) },
        table_reference("fault.targets", "target", "targets, with their keys", target),
        table_reference("fault.effects", "effect", "effects, with their keys", effect),
        table_reference("fault.triggers", "trigger",
            "sources of triggers, with their keys; { exec = \"do_exit\", nth = 3 }", trigger,
            "filters of all: when = function, nth = n, every = n, probability = p"),
        life.reference,
        random.reference,
    }
end

return M
