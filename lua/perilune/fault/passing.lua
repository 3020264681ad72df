--- A fault and what goes by at its target: methods of faults (life.lua).
local bits = require "perilune.fault.bits"

local M = {}

--- No more of what goes by, unless one event still waits for the next.
function M:stop_watching()
    if self.stop_watch and not self.kept then
        self.stop_watch()
        self.stop_watch = nil
    end
end

--- An event is put aside until the next one has gone by, or `ns` have passed.
function M:keep(e, ns)
    self:let_go()
    self.kept = e
    self.kept_timer = self:at(ns, function()
        self.kept_timer = nil
        self:let_go()
    end)
end

function M:let_go()
    local e = self.kept
    if not e then
        return
    end
    if self.kept_timer then
        self.kept_timer:remove()
        self.kept_timer = nil
    end
    self.kept = nil
    self.row.send(self.target, e, 0)
    if self.state == "over" or self.state == "released" then
        self:stop_watching()
    end
end

local function apply(self, e)
    local fields = self.row.show and self.row.show(e) or {}
    local old = e.bytes
    local more
    if self.effect.change then
        e.bytes = self.effect.change(self, e.bytes)
    else
        more = self.effect.event(self, e)
    end
    fields.before = bits.show(old)
    fields.after = not e.dropped and bits.show(e.bytes) or nil
    fields.dropped = e.dropped
    for key, value in pairs(more or {}) do
        fields[key] = value
    end
    self:hit(fields)
    self:count()
end

local function offer(self, e)
    local held = self.stop_hold
    for _, listener in ipairs { table.unpack(self.listeners) } do
        listener(e)
    end
    e.dropped = self.stop_hold ~= held or nil -- it has just come into force: this one too
    if self.kept then -- this one first, then the one that waits
        e.dropped, e.taken = true, true
        self.row.send(self.target, e, 0)
        self:let_go()
    elseif self.mode == "stream" and (self.open or self.credit > 0) then
        self.credit = math.max(0, self.credit - 1)
        apply(self, e)
    end
end

--- Begin to look at what goes by.
function M:watch()
    if not self.stop_watch then
        self.stop_watch = self.row.watch(self.target, function(e)
            offer(self, e)
        end)
    end
end

--- Call f(e) for each event at the target. Returns a function that ends it.
function M:on_event(f)
    table.insert(self.listeners, f)
    self:watch()
    return function()
        for i, listener in ipairs(self.listeners) do
            if listener == f then
                table.remove(self.listeners, i)
                break
            end
        end
    end
end

return M
