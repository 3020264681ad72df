--- Runs a tree of tests: each with its machines, which are closed after it, and its limits.
--
-- A result: node, name, status ("passed", "failed", "skipped"), time_s, and of what has failed
-- message, traceback, serial ({ { name, lines }, ... }), logs (paths), host (a failure of the host).
local core = require "perilune.core"
local machine = require "perilune.machine"
local native = require "perilune.task_core"
local suite = require "perilune.test.suite"
local task = require "perilune.task"
local uv = require "luv"

local M = {}

local Runner = {}
Runner.__index = Runner

local SKIP = {} -- what skip() raises: { SKIP, why }

--- options: limit_host and limit_virtual (ns, 0: none) with their texts, logs (a directory or nil),
-- filter (a Lua pattern or nil), on_result (called with each result).
function M.new(options)
    return setmetatable({ options = options, scopes = {}, passed = 0, failed = 0, skipped = 0 },
        Runner)
end

-- ---- machines ----

local function log_path(self, vm, id)
    local name = (self.test and suite.full_name(self.test) or "setup"):gsub("[^%w._-]+", "-")
    self.logged = (self.logged or 0) + 1
    return ("%s/%s-%d-%s-%s.log"):format(self.options.logs, name:sub(1, 80), self.logged, vm.name,
        id)
end

--- Everything that the guest writes goes to a file; returns { path, flush }.
local function keep_log(self, vm, chardev)
    local path = log_path(self, vm, chardev.id)
    local file, problem = io.open(path, "wb")
    if not file then
        error(core.new_error("host", "--logs: " .. problem), 0)
    end
    file:setvbuf("no")
    local done = 0
    local function flush()
        local text, total = native.history(chardev, done)
        file:write(text)
        done = total
    end
    vm:on("serial", { chardev = chardev.id, name = "log" }, flush)
    return { path = path, flush = flush, close = function() file:close() end }
end

--- What perilune.machine() and machine() are in a test.
local function create(self, name, options)
    if type(name) == "table" and options == nil and type(name[1]) == "string" then
        options = {}
        for k, v in pairs(name) do
            if k ~= 1 then
                options[k] = v
            end
        end
        name = name[1]
    end
    local vm = machine.create(name, options)
    local kept = { vm = vm, logs = {} }
    table.insert(self.scopes[#self.scopes].machines, kept)
    local limit = self.options.limit_virtual
    if limit > 0 then
        vm:at(vm.clock.virtual.now + limit, function()
            self.late = self.options.late_virtual
            vm:stop("limit", 1)
        end, { name = "limit" })
    end
    if self.options.logs then
        for _, c in ipairs(vm:chardevs()) do
            kept.logs[#kept.logs + 1] = keep_log(self, vm, c)
        end
    end
    return vm
end

--- Names that test files see.
function Runner:environment()
    local function make(name, options)
        return create(self, name, options)
    end
    local callable = setmetatable({}, {
        __index = machine,
        __call = function(_, name, options) return make(name, options) end,
    })
    return {
        assert = require "perilune.test.assert",
        machine = callable,
        perilune = setmetatable({ machine = make }, { __index = require "perilune" }),
        skip = function(why)
            error({ SKIP, why or "" }, 0)
        end,
    }
end

local function push_scope(self)
    table.insert(self.scopes, { machines = {} })
end

--- Close the machines of the innermost scope; their logs stay if `keep`. Returns the paths kept.
local function pop_scope(self, keep)
    local paths = {}
    for _, kept in ipairs(table.remove(self.scopes).machines) do
        local open = pcall(function() return kept.vm.state end)
        for _, log in ipairs(kept.logs) do
            if open then
                log.flush()
            end
            log.close()
            if keep then
                paths[#paths + 1] = log.path
            else
                os.remove(log.path)
            end
        end
        if open then
            kept.vm:close()
        end
    end
    return paths
end

local function each_machine(self, f)
    for _, scope in ipairs(self.scopes) do
        for _, kept in ipairs(scope.machines) do
            if pcall(function() return kept.vm.state end) then
                f(kept.vm)
            end
        end
    end
end

-- ---- limits ----

--- Run code for as long as a test may. Whoever waits for a machine then sees it end.
local function limited(self, f)
    local limit = self.options.limit_host
    if limit == 0 then
        return native.limited(0, "", f)
    end
    local deadline = core.realtime_ns() + limit
    local timer <close> = setmetatable({ handle = uv.new_timer() }, {
        __close = function(t) t.handle:close() end })
    local function expired()
        local left = deadline - core.realtime_ns()
        if left > 0 then -- libuv counts from when it last looked at the clock
            timer.handle:start(left // 1000000 + 1, 0, expired)
            return
        end
        self.late = self.options.late_host
        each_machine(self, function(vm)
            vm:stop("limit", 1)
        end)
    end
    timer.handle:start(limit // 1000000 + 1, 0, expired)
    return native.limited(limit, self.options.late_host, f)
end

-- ---- failures ----

--- Lines of a traceback that are the user's.
local function shorten(traceback)
    local lines = {}
    for line in (traceback or ""):gmatch("[^\n]+") do
        if line:find("^%s") and not line:find("/lua/perilune/", 1, true)
            and not line:find("[C]:", 1, true) and not line:find("(...tail", 1, true) then
            lines[#lines + 1] = (line:gsub("^%s+", ""))
        end
    end
    return #lines > 0 and table.concat(lines, "\n") or nil
end

local function fail(result, raised, traceback)
    if result.status == "failed" then
        return -- what came first explains most
    end
    result.status = "failed"
    result.message = tostring(raised)
    result.traceback = shorten(traceback)
    if type(raised) == "table" and raised.kind == "exit" then
        result.message = "the test called os.exit()"
    end
    result.host = type(raised) == "table" and raised.kind == "host"
end

--- Run some code of the test into its result.
local function attempt(self, result, f)
    local ok, raised, traceback = limited(self, f)
    if self.late then
        fail(result, self.late, traceback)
        self.late = nil
    elseif not ok and type(raised) == "table" and raised[1] == SKIP then
        if result.status == "passed" then
            result.status, result.why = "skipped", raised[2]
        end
    elseif not ok then
        local late = type(raised) == "string" and raised:find(self.options.late_host, 1, true)
        fail(result, late and self.options.late_host or raised, traceback)
    end
end

--- What went wrong in tasks and hooks.
local function check_machines(self, result)
    each_machine(self, function(vm)
        for _, failed in ipairs(task.failed(vm)) do
            if not failed.told then
                failed.told = true
                local message, traceback = failed.error:match("^(.-)\n(stack traceback:.*)$")
                fail(result, ("task %s: %s"):format(failed.name, message or failed.error),
                    traceback)
            end
        end
        if vm.pause_reason == "script error" or vm.exit_reason == "script-error" then
            fail(result, "a hook raised an error; the log has it")
        end
    end)
end

local function collect_serial(self, result)
    result.serial = {}
    each_machine(self, function(vm)
        for _, c in ipairs(vm:chardevs()) do
            local lines = task.last_lines(vm, c.id)
            if #lines > 0 then
                table.insert(result.serial, { name = ("%s of %s"):format(c.id, vm.name),
                    lines = lines })
            end
        end
    end)
end

-- ---- running ----

--- From the file down to the test's own describe.
local function parents(node)
    local list = {}
    while node.parent do
        node = node.parent
        table.insert(list, 1, node)
    end
    return list
end

local function finish(self, result)
    self[result.status] = self[result.status] + 1
    self.host_failed = self.host_failed or result.host
    self.options.on_result(result)
end

local function run_test(self, node)
    local result = { node = node, name = suite.full_name(node), status = "passed", time_s = 0 }
    if node.skip then
        result.status, result.why = "skipped", node.skip
        return finish(self, result)
    end
    local start = core.realtime_ns()
    local outer = parents(node)
    self.test = node
    push_scope(self)
    attempt(self, result, function()
        for _, parent in ipairs(outer) do
            for _, f in ipairs(parent.before_each) do
                f()
            end
        end
        node.body()
    end)
    check_machines(self, result)
    for i = #outer, 1, -1 do
        for _, f in ipairs(outer[i].after_each) do
            attempt(self, result, f)
        end
    end
    check_machines(self, result)
    if result.status == "failed" then
        collect_serial(self, result)
    end
    result.logs = pop_scope(self, result.status == "failed")
    self.test = nil
    result.time_s = (core.realtime_ns() - start) / 1e9
    finish(self, result)
end

local function wanted(self, node)
    local filter = self.options.filter
    return not filter or suite.full_name(node):find(filter) ~= nil
end

local function any_wanted(self, node)
    for _, test in ipairs(suite.tests(node)) do
        if wanted(self, test) then
            return true
        end
    end
    return false
end

local run_node

--- setup() once, its children, teardown() once. A setup that fails fails each of its tests.
local function run_group(self, node)
    if not any_wanted(self, node) then
        return
    end
    local result = { status = "passed" }
    push_scope(self)
    for _, f in ipairs(node.setup) do
        if result.status == "passed" then
            attempt(self, result, f)
        end
    end
    for _, child in ipairs(node.children) do
        run_node(self, child, result)
    end
    local ended = { status = "passed", node = node, name = node.name .. " teardown", time_s = 0 }
    for i = #node.teardown, 1, -1 do
        attempt(self, ended, node.teardown[i])
    end
    if ended.status == "failed" then
        finish(self, ended)
    end
    pop_scope(self, false)
end

--- Tests below a setup that did not pass have its fate.
local function run_without(self, node, why)
    for _, test in ipairs(suite.tests(node)) do
        if wanted(self, test) then
            finish(self, { node = test, name = suite.full_name(test), status = why.status,
                time_s = 0, why = why.why, message = why.message and "setup: " .. why.message,
                traceback = why.traceback, host = why.host })
        end
    end
end

function run_node(self, node, before)
    if before.status ~= "passed" then
        run_without(self, node, before)
    elseif node.kind ~= "it" then
        run_group(self, node)
    elseif wanted(self, node) then
        run_test(self, node)
    end
end

--- Machines made while files load belong to all of the run.
function Runner:begin()
    push_scope(self)
end

function Runner:run(root)
    run_node(self, root, { status = "passed" })
end

function Runner:finish()
    pop_scope(self, false)
end

Runner.wanted = wanted

return M
