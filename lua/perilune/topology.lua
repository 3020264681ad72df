--- What a change of the memory map did: the difference of two sets of views, as data that prints
-- itself. vm:batch(f, { diff = true }) returns one.
local M = {}

local Diff = {}
Diff.__index = Diff
Diff.__name = "memory diff"

local function describe(r)
    return ("%016x-%016x (prio %d, %s): %s%s"):format(r.start, r.last, r.priority, r.kind, r.name,
        r.offset ~= 0 and (" @%016x"):format(r.offset) or "")
end

local marks = { added = "+", removed = "-", changed = "~" }

function Diff:__tostring()
    if #self == 0 then
        return "nothing has changed"
    end
    local lines, space = {}, nil
    for _, c in ipairs(self) do
        if c.space ~= space then
            space = c.space
            lines[#lines + 1] = "address-space: " .. space
        end
        lines[#lines + 1] = ("  %s %s%s"):format(marks[c.change], describe(c), c.before
            and ", was " .. describe(c.before) or "")
    end
    return table.concat(lines, "\n")
end

local function same(a, b)
    return a.last == b.last and a.name == b.name and a.kind == b.kind and a.offset == b.offset
        and a.priority == b.priority
end

local function note(diff, space, change, range, before)
    diff[#diff + 1] = { space = space, change = change, start = range.start, last = range.last,
        offset = range.offset, priority = range.priority, kind = range.kind, name = range.name,
        before = before }
end

--- Both lists are sorted by address. A stretch that leads elsewhere now is "changed".
local function compare(diff, space, old, new)
    local i, j = 1, 1
    while old[i] or new[j] do
        local a, b = old[i], new[j]
        if not b or a and math.ult(a.start, b.start) then
            note(diff, space, "removed", a)
            i = i + 1
        elseif not a or math.ult(b.start, a.start) then
            note(diff, space, "added", b)
            j = j + 1
        else
            if a.last ~= b.last then
                note(diff, space, "removed", a)
                note(diff, space, "added", b)
            elseif not same(a, b) then
                note(diff, space, "changed", b, a)
            end
            i, j = i + 1, j + 1
        end
    end
end

--- Several address spaces may have one name: they are told apart by their order.
local function by_name(views)
    local found, count = {}, {}
    for _, v in ipairs(views) do
        local n = (count[v.name] or 0) + 1
        count[v.name] = n
        v.key = v.name .. " " .. n
        found[v.key] = v.ranges
    end
    return found
end

--- Views are { { name, ranges }, ... }. The result is a list of { space, change = "added" |
-- "removed" | "changed", start, last, offset, priority, kind, name, before }.
function M.diff(before, after)
    local diff = setmetatable({}, Diff)
    local old, new = by_name(before), by_name(after)
    for _, v in ipairs(before) do
        compare(diff, v.name, v.ranges, new[v.key] or {})
    end
    for _, v in ipairs(after) do
        if not old[v.key] then
            compare(diff, v.name, {}, v.ranges)
        end
    end
    return diff
end

return M
