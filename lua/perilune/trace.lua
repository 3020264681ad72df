--- Events as lines: what --trace, the property "trace" and the monitor ask for. docs/tracing.md has
-- the manual; vm:trace() is in C.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

--- Every event: { { name =, help =, args = { { name =, kind = }, ... } }, ... }.
M.events = core.trace_events

--- Outputs by machine: { [file or "" for standard error] = output }.
local outputs = setmetatable({}, { __mode = "k" })

local formats = { "text", "json" }

--- "e1000.*,-e1000.reg_*,file=PATH,format=json" → { patterns, file, format }. "events=" and "enable="
-- are patterns too.
function M.parse(text)
    local plain, keyed = util.parse_list(text)
    local patterns = {}
    for _, key in ipairs { "events", "enable" } do
        table.move(keyed[key] or {}, 1, #(keyed[key] or {}), #patterns + 1, patterns)
        keyed[key] = nil
    end
    table.move(plain, 1, #plain, #patterns + 1, patterns)
    local spec = { patterns = table.concat(patterns, ","), file = keyed.file and keyed.file[1],
        format = keyed.format and keyed.format[1] or "text" }
    keyed.file, keyed.format = nil, nil
    for _, key in ipairs(util.sorted_keys(keyed)) do
        util.fail(util.suggest(('unknown key "%s"'):format(key), key,
            { "events", "enable", "file", "format" }))
    end
    if spec.patterns == "" then
        util.fail('which events? "*" is all, "--trace help" lists them')
    elseif spec.format ~= "text" and spec.format ~= "json" then
        util.fail(util.suggest(('format "%s" is none of text, json'):format(spec.format),
            spec.format, formats))
    end
    return spec
end

--- The machine's output to `file` (nil: standard error), made when there is none.
local function output_to(vm, file, format)
    outputs[vm] = outputs[vm] or {}
    local key = file or ""
    if not outputs[vm][key] then
        outputs[vm][key] = vm:trace_output { file = file, format = format }
    end
    return outputs[vm][key]
end

--- Do what a text as of --trace asks for. What goes to the same file is one output: later patterns
-- add to earlier ones, or take away.
function M.apply(vm, text)
    local spec = M.parse(text)
    output_to(vm, spec.file, spec.format):enable(spec.patterns)
end

--- The output that the monitor is about: the first one made, or a new one to standard error.
function M.output(vm)
    local key = util.sorted_keys(outputs[vm] or {})[1]
    if key then
        return outputs[vm][key], key
    end
    return output_to(vm), ""
end

--- Let the monitor's output go on in `file` (nil: standard error).
function M.move(vm, file)
    local output, key = M.output(vm)
    output:move(file)
    outputs[vm][key] = nil
    outputs[vm][file or ""] = output
end

--- Names of events, sorted.
function M.names()
    local names = {}
    for i, event in ipairs(M.events()) do
        names[i] = event.name
    end
    table.sort(names)
    return names
end

--- One line of an event's arguments: "size, loopback".
function M.signature(event)
    local names = {}
    for i, arg in ipairs(event.args) do
        names[i] = arg.name
    end
    return table.concat(names, ", ")
end

--- A glob (* and ?) as a Lua pattern.
function M.glob(text)
    return "^" .. text:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

M.reference = { { name = "perilune.trace", label = "module", of = M,
    help = "events as lines: what --trace and the monitor ask for; vm:trace() calls functions",
    internal = { "parse", "output", "move", "signature", "glob" },
    functions = {
        { "events", "() → { { name =, help =, args = { table, ... } }, ... }", "every event that can be traced" },
        { "names", "() → { name, ... }", "their names, sorted" },
        { "apply", "(vm, text)", 'as --trace: "e1000.*,-e1000.reg_*,file=PATH,format=json"' },
    } } }

return M
