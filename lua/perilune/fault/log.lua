--- The log of faults: one JSON object a line, its fields always in the same order.
local json = require "perilune.json"
local util = require "perilune.util"

local M = {}

local order = { "insn", "ns", "vm", "fault", "name", "event", "target", "effect", "where",
    "address", "size", "dir", "from", "level", "before", "after" }
local place = {}
for i, name in ipairs(order) do
    place[name] = i
end

local sink -- function(line, entry), nil: none
local file -- what sink writes to, if it is ours

local function add(parts, key, value)
    if value ~= nil then
        parts[#parts + 1] = json.encode(key) .. ":" .. json.encode(value)
    end
end

--- The line of an entry: the fields of `order`, then the others sorted.
function M.line(entry)
    local parts = {}
    for _, key in ipairs(order) do
        add(parts, key, entry[key])
    end
    for _, key in ipairs(util.sorted_keys(entry)) do
        if not place[key] then
            add(parts, key, entry[key])
        end
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

function M.write(entry)
    if sink then
        sink(M.line(entry), entry)
    end
end

--- What was written is in the file.
function M.flush()
    if file then
        file:flush()
    end
end

--- Log to a file (a path), to a function f(line, entry), or not any more (nil).
function M.to(where)
    if file then
        file:close()
    end
    file, sink = nil, nil
    if type(where) == "function" then
        sink = where
    elseif type(where) == "string" then
        local opened, problem = io.open(where, "w")
        if not opened then
            util.fail(("fault.log: %s"):format(problem))
        end
        opened:setvbuf("full", 1 << 16)
        file = opened
        sink = function(line)
            opened:write(line, "\n")
        end
    elseif where ~= nil then
        util.fail(("fault.log takes a path, a function or nil, not a %s"):format(type(where)))
    end
end

return M
