--- perilune test FILE...: its options, and the exit status.
local core = require "perilune.core"
local native = require "perilune.task_core"
local report = require "perilune.test.report"
local runner = require "perilune.test.runner"
local suite = require "perilune.test.suite"
local util = require "perilune.util"
local uv = require "luv"

local M = {}

local STATUS_FAILED, STATUS_USAGE, STATUS_HOST = 1, 2, 4

local function duration(state, key, value)
    state[key] = native.duration(math.tointeger(tonumber(value)) or value)
end

--- One row each: name, arg (what follows it; nil: nothing), help, set(state, value).
M.rows = {
    { name = "filter", arg = "PATTERN", set = function(state, value)
        local ok, problem = pcall(string.find, "", value)
        if not ok then
            util.fail(problem)
        end
        state.filter = value
    end, help = 'run only tests whose name ("describe it") matches a Lua pattern' },
    { name = "list", set = function(state)
        state.list = true
    end, help = "print the names of the tests and run none" },
    { name = "junit", arg = "FILE", set = function(state, value)
        state.junit = value
    end, help = "write the results as JUnit's XML" },
    { name = "logs", arg = "DIR", set = function(state, value)
        state.logs = value
    end, help = "keep the serial text of the machines of tests that fail" },
    { name = "limit-virtual", arg = "TIME", set = function(state, value)
        duration(state, "limit_virtual", value)
    end, help = "how long a machine may run in one test, in its own time; 0 (unless given): for ever" },
    { name = "limit-host", arg = "TIME", set = function(state, value)
        duration(state, "limit_host", value)
    end, help = "how long a test may take on the host; 300s unless given, 0: for ever" },
    { name = "help", set = function(state)
        state.help = true
    end, help = "print this and exit" },
}

local function find_row(name)
    local names = {}
    for i, row in ipairs(M.rows) do
        if row.name == name or name == "h" and row.name == "help" then
            return row
        end
        names[i] = row.name
    end
    local near = core.nearest(name, names)
    util.fail(near and ("test: --%s: unknown option; did you mean --%s?"):format(name, near)
        or ("test: --%s: unknown option; perilune test --help lists all"):format(name))
end

local function parse(args)
    local state = { files = {}, limit_virtual = 0, limit_host = native.duration("300s") }
    local i = 1
    while i <= #args do
        local name, value = args[i]:match("^%-%-?(%a[%w-]*)=(.*)$")
        name = name or args[i]:match("^%-%-?(%a[%w-]*)$")
        if not name then
            table.insert(state.files, args[i])
        else
            local row = find_row(name)
            if row.arg and not value then
                i = i + 1
                value = args[i] or util.fail(("test: --%s: %s must follow it"):format(row.name,
                    row.arg))
            elseif value and not row.arg then
                util.fail(("test: --%s: it takes no value"):format(row.name))
            end
            local ok, problem = pcall(row.set, state, value)
            if not ok then
                util.fail(("test: --%s: %s"):format(row.name, tostring(problem)))
            end
        end
        i = i + 1
    end
    return state
end

local function print_help()
    print("perilune test: run test files\n")
    print("  perilune test FILE... [OPTION...]\n")
    for _, row in ipairs(M.rows) do
        print(("  --%s%s"):format(row.name, row.arg and " " .. row.arg or ""))
        print("        " .. row.help)
    end
    print("\nA TIME is 30s, 1.5ms, 2min or nanoseconds. Exit status: 0 all passed, 1 some failed,")
    print("2 a wrong option or a file that does not load, 4 a failure of the host.")
end

local function host_failure(text)
    error(core.new_error("host", text), 0)
end

local function shown(ns)
    return ("%g s"):format(ns / 1e9)
end

local function make_directory(path)
    local stat = uv.fs_stat(path)
    if stat and stat.type == "directory" then
        return
    end
    local ok, problem = uv.fs_mkdir(path, 493) -- rwxr-xr-x
    if not ok then
        host_failure("test: --logs: " .. problem)
    end
end

--- The trees of all files, or nil when one does not load; says why.
local function load_files(state, r)
    local roots = {}
    for _, path in ipairs(state.files) do
        local root, problem, traceback = suite.load(path, r:environment(), state.limit_host,
            "it takes too long to load (--limit-host)")
        if root then
            roots[#roots + 1] = root
        else
            io.stderr:write(("perilune: test: %s\n"):format(problem))
            if traceback then
                io.stderr:write(traceback, "\n")
            end
        end
    end
    return #roots == #state.files and roots or nil
end

local function list(r, roots)
    local count = 0
    for _, root in ipairs(roots) do
        for _, test in ipairs(suite.tests(root)) do
            if r:wanted(test) then
                print(("%s:%d: %s"):format(test.file, test.line, suite.full_name(test)))
                count = count + 1
            end
        end
    end
    return count
end

local function write_junit(path, files)
    local file, problem = io.open(path, "w")
    local ok = file and file:write(report.junit(files))
    if not ok or not file:close() then
        host_failure("test: --junit: " .. (problem or path .. " cannot be written"))
    end
end

local function run(state, r, roots)
    local start = core.realtime_ns()
    local files = {}
    for i, root in ipairs(roots) do
        files[i] = { file = root.name, results = {} }
        print(root.name)
        r.options.on_result = function(result)
            table.insert(files[i].results, result)
            print(report.line(result))
            io.stdout:flush()
        end
        r:run(root)
    end
    r:finish()
    print(report.summary(r, (core.realtime_ns() - start) / 1e9))
    if state.junit then
        write_junit(state.junit, files)
    end
    return r.host_failed and STATUS_HOST or r.failed > 0 and STATUS_FAILED or 0
end

--- Returns the exit status.
function M.main(args)
    local state = parse(args)
    if state.help then
        print_help()
        return 0
    elseif #state.files == 0 then
        util.fail("test: give files with tests; perilune test --help lists the options")
    end
    if state.logs then
        make_directory(state.logs)
    end
    local r = runner.new {
        filter = state.filter,
        logs = state.logs,
        limit_host = state.limit_host,
        limit_virtual = state.limit_virtual,
        late_host = ("took more than %s on the host (--limit-host)"):format(shown(state.limit_host)),
        late_virtual = ("a machine ran for more than %s of its time (--limit-virtual)"):format(
            shown(state.limit_virtual)),
    }
    r:begin()
    local roots = load_files(state, r)
    if not roots then
        return STATUS_USAGE
    end
    if state.list then
        return list(r, roots) > 0 and 0 or STATUS_USAGE
    end
    local status = run(state, r, roots)
    if r.passed + r.failed + r.skipped == 0 then
        util.fail(state.filter and ("test: no test matches %q"):format(state.filter)
            or "test: there are no tests in these files")
    end
    return status
end

return M
