--- The command line of a campaign.
local util = require "perilune.util"
local uv = require "luv"

local M = {}

local rows = {
    { name = "seed", arg = "S", default = 1, help = "where the random numbers begin (1)" },
    { name = "runs", arg = "N", default = 200, least = 1, help = "how many faults (200)" },
    { name = "jobs", arg = "N", least = 1, help = "how many processes at a time (one for each core)" },
    { name = "out", arg = "NAME", help = "results in NAME.jsonl, a picture in NAME.svg (campaign-bare, ...)" },
    { name = "resume", help = "go on with results that are there" },
    { name = "run", arg = "N", least = 0, help = "only run N: print its line (0: the run without a fault)" },
    { name = "golden", arg = "FILE", help = "with --run: take the run without a fault from these results" },
    { name = "help", help = "print this" },
}
local integers = { seed = true, runs = true, jobs = true, run = true }

local function print_help(script, list)
    print(("perilune %s [OPTION...]: a campaign of faults\n"):format(script))
    for i, row in ipairs(list) do
        print(("  --%s%s\n        %s%s"):format(row.name, row.args and " " .. row.args or "", row.help,
            i == 1 and " (unless another is named)" or ""))
    end
    for _, row in ipairs(rows) do
        print(("  --%s%s\n        %s"):format(row.name, row.arg and " " .. row.arg or "", row.help))
    end
end

local function find(list, name)
    for _, row in ipairs(list) do
        if row.name == name then
            return row
        end
    end
end

local function unknown(name, list)
    local names = {}
    for _, each in ipairs { list, rows } do
        for _, row in ipairs(each) do
            names[#names + 1] = "--" .. row.name
        end
    end
    util.fail("campaign: " .. util.suggest(("%s: unknown option"):format(name), name, names))
end

local function value_of(row, text)
    if not text then
        util.fail(("campaign: --%s: %s must follow it"):format(row.name, row.arg))
    elseif not integers[row.name] then
        return text
    end
    local n = math.tointeger(tonumber(text))
    if not n or row.least and n < row.least then
        util.fail(("campaign: --%s must be an integer%s, not %s"):format(row.name,
            row.least and " from " .. row.least .. " on" or "", text))
    end
    return n
end

--- Returns what the options say, or nil after --help.
function M.parse(args, list)
    local state = { script = args[0], which = list[1], which_args = {} }
    local i = 1
    while i <= #args do
        local name = args[i]:match("^%-%-(.+)$")
        local row, campaign = find(rows, name), find(list, name)
        if campaign then
            state.which, state.named = campaign, true
            while args[i + 1] and not args[i + 1]:find("^%-%-") do
                i = i + 1
                table.insert(state.which_args, args[i])
            end
        elseif not row then
            unknown(args[i], list)
        elseif row.arg then
            i = i + 1
            state[row.name] = value_of(row, args[i])
        else
            state[row.name] = true
        end
        i = i + 1
    end
    if state.help then
        return print_help(state.script, list)
    end
    for _, row in ipairs(rows) do
        if state[row.name] == nil then
            state[row.name] = row.default
        end
    end
    state.jobs = state.jobs or uv.available_parallelism()
    state.campaign = state.which.make(table.unpack(state.which_args))
    state.campaign.name = state.which.name
    local out = state.out or "campaign-" .. state.which.name
    state.results, state.picture = out .. ".jsonl", out .. ".svg"
    return state
end

--- The arguments of a process that does run n.
function M.command(state, n)
    local args = { state.script }
    if state.named then
        table.insert(args, "--" .. state.which.name)
        table.move(state.which_args, 1, #state.which_args, #args + 1, args)
    end
    for _, text in ipairs { "--seed", tostring(state.seed), "--run", tostring(n) } do
        table.insert(args, text)
    end
    return args
end

--- The same as a shell takes it.
function M.text(state, n)
    local args = M.command(state, n)
    for i, text in ipairs(args) do
        args[i] = text:find("[^%w%-_./=+,:@]") and "'" .. text:gsub("'", "'\\''") .. "'" or text
    end
    return "perilune " .. table.concat(args, " ")
end

return M
