--- One fault, from its injection to its end.
--
-- A fault waits for its trigger. What a firing does is a matter of the target and the effect:
-- "act"     the effect is applied once, to the target's state
-- "hold"    the effect comes into force, until its time is over
-- "stream"  from now on the effect is applied to what goes by; a trigger that picks single events
--           lets it have just one each time
-- The duration says when it is over: after so many times, after a time, or never.
local bits = require "perilune.fault.bits"
local check = require "perilune.fault.check"
local log = require "perilune.fault.log"
local passing = require "perilune.fault.passing"
local trigger = require "perilune.fault.trigger"

local HISTORY_MAX <const> = 65536

local Fault = { __name = "fault" }
Fault.__index = Fault
for name, method in pairs(passing) do
    Fault[name] = method
end

function Fault.__tostring(f)
    return ("fault %d%s: %s %s%s, %s, %d hits"):format(f.index, f.name and " " .. f.name or "",
        f.effect.name, f.row.name, f.label and " " .. f.label or "",
        f.pending and "pending" or f.state, f.hits)
end

--- How a firing is answered; see above.
local function mode_of(row, effect)
    if effect.act or effect.change and row.write and not effect.lasting then
        return "act"
    elseif effect.hold or effect.change and row.hold then
        return "hold"
    end
    return "stream"
end

-- ---- records ----

--- Note that something has happened, in the history and the log.
function Fault:record(event, fields)
    local entry = { insn = self.vm.instructions, ns = self.vm.clock.virtual.now,
        vm = self.vm.name, fault = self.index, name = self.name, event = event,
        target = self.row.name, effect = self.effect.name }
    for key, value in pairs(fields or {}) do
        entry[key] = value
    end
    if event ~= "inject" and event ~= "release" and #self.entries < HISTORY_MAX then
        self.entries[#self.entries + 1] = entry
    end
    if self.backlog and event ~= "inject" then
        table.insert(self.backlog, entry)
    else
        log.write(entry)
    end
end

function Fault:hit(fields)
    self.hits = self.hits + 1
    self:record("hit", fields)
end

--- What has happened: { { insn =, ns =, event = "hit", before =, after =, ... }, ... }.
function Fault:history()
    return self.entries
end

-- ---- symbols that are not known yet ----

--- Call f() as soon as the target can be found.
local function await(self, f)
    if self.pending then
        return
    end
    self.pending = self.vm:on("symbols", { name = "fault" }, function()
        if self.row.ready(self.target) then
            self:stop_waiting()
            f()
        end
    end)
    self:record("pending")
end

function Fault:stop_waiting()
    if self.pending then
        self.pending:remove()
        self.pending = nil
    end
end

-- ---- ending ----

--- The virtual time `ns` from now: f.
function Fault:at(ns, f)
    return self.vm:at(self.vm.clock.virtual.now + ns, f)
end

local function end_hold(self)
    local stop = self.stop_hold
    if not stop then
        return
    end
    self.stop_hold = nil
    if self.hold_timer then
        self.hold_timer:remove()
        self.hold_timer = nil
    end
    stop()
    self:record("end")
end

--- No more of it.
local function finish(self, state)
    if self.state == "over" or self.state == "released" then
        return
    end
    self.state = state
    self.open, self.credit = false, 0
    if self.stop_trigger then
        self.stop_trigger()
        self.stop_trigger = nil
    end
    if self.timer then
        self.timer:remove()
        self.timer = nil
    end
    self:stop_waiting()
    end_hold(self)
    self:stop_watching()
end

local function is_open(vm)
    return (pcall(function()
        return vm.state
    end))
end

--- End it, whatever its duration. What it delays comes to pass.
function Fault:release()
    if not is_open(self.vm) then
        self.state = self.state ~= "over" and "released" or "over"
        return
    end
    self:let_go()
    if self.state ~= "over" and self.state ~= "released" then
        finish(self, "released")
        self:record("release")
    end
end

--- Count one application towards the duration.
function Fault:count()
    self.applied = self.applied + 1
    if self.times and self.applied >= self.times then
        finish(self, "over")
    end
end

-- ---- firing ----

--- The effect, once, now. What cannot be done is recorded.
local function act(self)
    local ok, problem = pcall(function()
        if self.effect.act then
            self:hit(self.effect.act(self))
            return
        end
        local before = self.row.read(self.target)
        local after = self.effect.change(self, before)
        self.row.write(self.target, after)
        local fields = self.row.note and self.row.note(self.target) or {}
        fields.before, fields.after = bits.show(before), bits.show(after)
        self:hit(fields)
    end)
    if not ok then
        self:record("failed", { problem = check.plain(problem) })
    end
    self:count()
end

local function force(self)
    return function(before)
        local after = self.effect.change(self, before)
        if after ~= before then
            self:hit { before = bits.show(before), after = bits.show(after) }
        end
        return after
    end
end

local function begin(self)
    if self.stop_hold then
        return
    end
    self:record("begin")
    local ok, stop = pcall(function()
        return self.effect.hold and self.effect.hold(self)
            or self.row.hold(self.target, force(self))
    end)
    if not ok then
        self:record("failed", { problem = check.plain(stop) })
        self:count()
        return
    end
    self.stop_hold = stop
    if self.time then
        self.hold_timer = self:at(self.time, function()
            self.hold_timer = nil
            end_hold(self)
            self:count()
        end)
    end
end

--- The trigger has fired; `picks`: it means one event.
local fired
function fired(self, picks)
    if self.state == "over" or self.state == "released" then
        return
    elseif self.row.ready and not self.row.ready(self.target) then
        return await(self, function()
            fired(self, picks)
        end)
    end
    if self.state == "waiting" then
        self.state = "active"
        if self.time and self.mode ~= "hold" then
            self.timer = self:at(self.time, function()
                self.timer = nil
                finish(self, "over")
            end)
        end
    end
    if self.mode == "act" then
        act(self)
    elseif self.mode == "hold" then
        begin(self)
    else
        self.open = self.open or not picks
        self.credit = picks and self.credit + 1 or self.credit
        self:watch()
    end
end

local M = { mode_of = mode_of }

--- A fault that waits for nothing yet; fields has vm, spec, row, effect, where, fail, index, name,
-- random, times, time.
function M.new(fields)
    local f = fields
    f.mode = mode_of(f.row, f.effect)
    f.state, f.hits, f.applied, f.credit, f.open = "waiting", 0, 0, 0, false
    f.entries, f.listeners, f.backlog = {}, {}, {}
    return setmetatable(f, Fault)
end

--- Begin to wait for the trigger. If it raises, nothing is left.
function M.start(f, spec)
    local ok, stop = pcall(trigger.start, f, spec, function(picks)
        fired(f, picks)
    end)
    if not ok then
        finish(f, "over")
        error(stop, 0)
    end
    f:record("inject", { where = f.label })
    for _, entry in ipairs(f.backlog) do
        log.write(entry)
    end
    f.backlog = nil
    f.stop_trigger = stop
    if f.state == "over" then
        f.stop_trigger = nil
        stop()
    end
end

M.reference = { name = "fault", label = "fault", help = "a fault: fault.inject()", of = Fault,
    internal = { "stop_waiting", "record", "hit", "at", "count", "stop_watching", "keep", "let_go", "watch",
        "on_event" },
    methods = {
        { "release", "()", "end it, whatever its duration; what it delays comes to pass" },
        { "history", "() → { { insn =, ns =, event = string, ... }, ... }", "what has happened" },
    },
    properties = {
        { "state", '"waiting" or "active" or "over" or "released"', "how it stands" },
        { "pending", "hook or nil", "its trigger has fired, and it waits for its symbol" },
        { "hits", "integer", "how often it has happened" },
        { "index", "integer", "its number" },
        { "name", "string or nil", "the name that it was given; nil: none" },
        { "vm", "vm", "its machine" },
    } }

return M
