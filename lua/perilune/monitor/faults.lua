--- Monitor commands about faults: fault_inject, fault_release; `info faults` lists them.
local fault = require "perilune.fault"
local util = require "perilune.util"

local M = {}

--- What is written for a value: numbers, true and false, text.
local function value_of(text)
    local n = math.tointeger(tonumber(text)) or tonumber(text)
    if n ~= nil then
        return n
    elseif text == "true" or text == "false" then
        return text == "true"
    end
    return text
end

--- "target=reg,trigger.insn=5" → { target = "reg", trigger = { insn = 5 } }
local function parse_keys(text)
    local plain, keyed = util.parse_list(text)
    if plain[1] then
        util.fail(('fault_inject: "%s" is not of the form key=value'):format(plain[1]))
    end
    local spec = {}
    for name, values in pairs(keyed) do
        local at, key = spec, name
        for part in name:gmatch("([^.]+)%.") do
            at[part] = type(at[part]) == "table" and at[part] or {}
            at, key = at[part], name:match("[^.]+$")
        end
        at[key] = value_of(values[#values])
    end
    return spec
end

--- A table in Lua, or keys.
local function parse_spec(text)
    if not text:match("^%s*{") then
        return parse_keys(text)
    end
    local chunk, problem = load("return " .. text, "=spec", "t")
    if not chunk then
        util.fail(("fault_inject: %s"):format(problem))
    end
    return chunk()
end

local function find(vm, which)
    local names = {}
    for _, f in ipairs(fault.list(vm)) do
        if f.name == which or tostring(f.index) == which then
            return f
        end
        names[#names + 1] = f.name
    end
    util.fail(util.suggest(('there is no fault "%s"'):format(which), which, names))
end

--- For `info faults`.
M.topic = {
    help = "faults that were injected, what became of them",
    run = function(vm)
        local rows = {}
        for i, f in ipairs(fault.list(vm)) do
            rows[i] = { index = f.index, name = f.name, target = f.row.name,
                effect = f.effect.name, state = f.state, hits = f.hits, where = f.where, fault = f }
        end
        return rows
    end,
    show = function(rows)
        local lines = {}
        for i, row in ipairs(rows) do
            lines[i] = tostring(row.fault)
        end
        return #lines > 0 and table.concat(lines, "\n") or "there are no faults"
    end,
}

function M.register(monitor)
    monitor.command { name = "fault_inject", help = "inject a fault",
        args = { { "spec", "rest", usage = "KEY=VALUE,...",
            help = "target=reg,reg=rax,effect=flip,trigger.insn=1000 or a table in Lua" } },
        run = function(a)
            return fault.inject(monitor.vm(), parse_spec(a.spec))
        end,
        show = tostring }
    monitor.command { name = "fault_release", help = "end a fault",
        args = { { "fault", "word", help = "its number or name" } },
        run = function(a)
            find(monitor.vm(), a.fault):release()
        end }
end

return M
