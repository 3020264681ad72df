--- Module "perilune.fault.campaign": many runs of a machine, each with one fault, and what became of
-- them. docs/faults.md has the manual, examples/campaign.lua uses it.
--
-- The program that calls main() is run again for every fault, in a process of its own: with --run N
-- it prints that run's line of the results. The processes know each other by the results file alone,
-- whose first line has the run without a fault.
local core = require "perilune.core"
local json = require "perilune.json"
local options = require "perilune.fault.campaign.options"
local report = require "perilune.fault.campaign.report"
local run = require "perilune.fault.campaign.run"
local util = require "perilune.util"
local uv = require "luv"

local M = { register = run.register, ram = run.ram, outcomes = run.outcomes }

-- ---- the results file ----

local function read_lines(path)
    local file, problem = io.open(path, "rb")
    if not file then
        util.fail(("campaign: %s"):format(problem))
    end
    local lines = {}
    for line in file:lines("L") do
        if line:sub(-1) == "\n" then -- a line that was cut off does not count
            lines[#lines + 1] = line:sub(1, -2)
        end
    end
    file:close()
    return lines
end

--- The first line of a results file, which must be of this campaign.
local function header_of(path, line, state)
    local ok, header = pcall(json.decode, line or "")
    if not ok or not header.golden then
        util.fail(("campaign: %s: this is no results file of a campaign"):format(path))
    elseif header.campaign ~= state.campaign.name or header.seed ~= state.seed then
        util.fail(("campaign: %s is of campaign %s with seed %d, not %s with seed %d"):format(path,
            header.campaign, header.seed, state.campaign.name, state.seed))
    end
    return header
end

--- What is there to go on with: the text of the file so far, which it then has again.
local function begin_file(state)
    local old = {}
    if uv.fs_stat(state.results) then
        if not state.resume then
            util.fail(("campaign: %s is there: --resume goes on with it, --out NAME makes another")
                :format(state.results))
        end
        old = read_lines(state.results)
    end
    if old[1] then
        header_of(state.results, old[1], state)
    end
    local file, problem = io.open(state.results, "wb")
    if not file then
        util.fail(("campaign: %s"):format(problem))
    end
    for _, line in ipairs(old) do
        file:write(line, "\n")
    end
    file:flush()
    return file, #old
end

-- ---- processes ----

--- Run number n (0: without a fault) in a process; done(line or nil) when it is over.
local function start(state, n, done)
    local pipe, text, status, ended = uv.new_pipe(false), {}, nil, false
    local function finish()
        if status and ended then
            done(status == 0 and table.concat(text):match("([^\n]+)\n$") or nil)
        end
    end
    local args = options.command(state, n)
    args[#args + 1] = n > 0 and "--golden" or nil
    args[#args + 1] = n > 0 and state.results or nil
    local handle, problem = uv.spawn(uv.exepath(), { args = args, stdio = { nil, pipe, 2 } },
        function(code, signal)
            status = signal == 0 and code or 128 + signal
            state.processes[n] = nil
            finish()
        end)
    if not handle then
        util.fail(("campaign: %s: %s"):format(uv.exepath(), problem))
    end
    state.processes[n] = handle
    pipe:read_start(function(_, more)
        if more then
            text[#text + 1] = more
        else
            pipe:close()
            ended = true
            finish()
        end
    end)
end

--- End what runs; the first reason counts.
local function stop_all(state, why)
    state.stopped = state.stopped or why
    for _, handle in pairs(state.processes) do
        handle:kill("sigterm")
    end
end

local function progress(state, n)
    if uv.guess_handle(2) == "tty" then
        io.stderr:write(("\r%d of %d runs"):format(n, state.runs), n == state.runs and "\n" or "")
    end
end

--- Runs `from` to `to`, some at a time. Their lines go to the file in order, whichever ends first.
local function run_all(state, file, from, to)
    local next_run, next_line, waiting, active = from, from, {}, 0
    local function fill()
        while active < state.jobs and next_run <= to and not state.stopped do
            local n = next_run
            next_run, active = n + 1, active + 1
            start(state, n, function(line)
                active = active - 1
                if not line then
                    stop_all(state, ("run %d has failed; it is repeated by %s"):format(n,
                        options.text(state, n)))
                end
                waiting[n] = line
                while waiting[next_line] do
                    file:write(waiting[next_line], "\n")
                    waiting[next_line] = nil
                    progress(state, next_line)
                    next_line = next_line + 1
                end
                local ok, problem = file:flush()
                if not ok then
                    stop_all(state, problem)
                end
                fill()
            end)
        end
    end
    fill()
    perilune.wait(function()
        return active == 0
    end)
end

-- ---- the whole ----

--- A signal ends it in order: the processes first.
local function watch_signals(state)
    for _, name in ipairs { "sigint", "sigterm", "sighup" } do
        local handle = uv.new_signal()
        handle:start(name, function()
            state.signal = name
            stop_all(state, "interrupted")
        end)
        handle:unref()
        table.insert(state.handles, handle)
    end
end

local function show(state, lines)
    local header = header_of(state.results, lines[1], state)
    local runs = {}
    for i = 2, #lines do
        runs[i - 1] = json.decode(lines[i])
    end
    local file, problem = io.open(state.picture, "wb")
    if not file then
        util.fail(("campaign: %s"):format(problem))
    end
    file:write(report.svg(header, runs))
    file:close()
    print(report.table(header, runs))
    print(("\n%s: a line for each run; %s: outcomes for each place.\nRun 1 is repeated by\n  %s")
        :format(state.results, state.picture, options.text(state, 1)))
end

--- Say why it has stopped, and what there is now. After a signal it dies of that.
local function stopped(state, lines)
    local kept = ("%s has %d of %d runs, and --resume goes on"):format(state.results, lines - 1,
        state.runs)
    if lines == 0 then
        os.remove(state.results)
        kept = "there are no results"
    end
    io.stderr:write(("campaign: %s; %s\n"):format(state.stopped, kept))
    if state.signal then
        uv.kill(uv.os_getpid(), state.signal)
    end
end

--- All runs that are still missing. Returns the exit status.
local function conduct(state)
    state.processes, state.handles = {}, {}
    watch_signals(state)
    local file, there = begin_file(state)
    if there == 0 then
        run_all(state, file, 0, 0)
    end
    if not state.stopped then
        run_all(state, file, math.max(1, there), state.runs)
    end
    file:close()
    for _, handle in ipairs(state.handles) do
        handle:close()
    end
    local lines = read_lines(state.results)
    if state.stopped then
        stopped(state, #lines)
        return 1
    end
    show(state, lines)
    return 0
end

--- One line of the results, on standard output.
local function single(state)
    core.log_level("error") -- guests in trouble have much to say
    local golden
    if state.golden then
        golden = header_of(state.golden, read_lines(state.golden)[1], state).golden
    else
        golden = run.golden(state.campaign)
    end
    print(state.run == 0 and run.header(state.campaign.name, state.seed, golden)
        or run.line(state.campaign, state.seed, state.run, golden))
    return 0
end

--- Do what the command line says. `args` is the script's `arg`; `list` has the campaigns, the first
-- of which is meant unless an option names another: { { name =, help =, args =, make = }, ... }.
-- make(...) gets what follows the option and returns { create =, groups =, detected =, output = }.
-- Returns the exit status.
function M.main(args, list)
    local state = options.parse(args, list)
    if not state then
        return 0
    end
    return state.run and single(state) or conduct(state)
end

M.reference = {
    { name = "perilune.fault.campaign", label = "module", of = M,
        help = "many runs of a machine, each with one fault: docs/faults.md",
        functions = {
            { "main", "(args: { string, ... }, list: { campaign, ... }) → status",
                "do what the command line says; the first campaign is meant unless an option names one" },
            { "register", "(name [, width]) → campaign.place", "one bit of a register of 64 bits, or so many" },
            { "ram", "(name, gpa: address, size: integer) → campaign.place",
                "one bit somewhere in a piece of memory" },
        },
        properties = {
            { "outcomes", "{ string, ... }", "how a run can end" },
        } },
    { name = "campaign", label = "table", help = "a campaign, as campaign.main takes it", keys = {
        { "name", "string", "its name, and its option" },
        { "help", "string", "a line about it" },
        { "args", "string", "what follows the option, for help" },
        { "make", "function(...) → campaign.machine", "gets what follows the option" },
    } },
    { name = "campaign.machine", label = "table", help = "what a campaign is about", keys = {
        { "create", "function() → vm", "the machine; its first serial port is the output" },
        { "groups", "{ table, ... } or function(vm) → { table, ... }",
            "groups of places: { name =, place, ... }" },
        { "detected", "function(run: table) → boolean", "has the program reported an error" },
        { "output", "function(text) → text", "the part of the output that counts" },
    } },
    { name = "campaign.place", label = "table", help = "a place of faults", keys = {
        { "name", "string", "its name" },
        { "pick", "function(random: fault_random) → fault.inject", "a fault in it" },
    } },
}

return M
