--- Tasks, and waiting for what a machine does.
--
-- A task is a coroutine that hooks resume: vm:wait_serial() and its like install hooks (the event,
-- the timeout, the machine's end), yield, and the first hook that fires resumes it. Called from the
-- main script, the same functions run the machine until then. docs/testing.md is the guide.
local core = require "perilune.core"
local native = require "perilune.task_core"
local util = require "perilune.util"

local M = {}

--- Text that may wait for the guest before vm:send() does.
local SEND_ROOM = 4096
--- A hook cannot wait: what it sends must fit here.
local HOOK_ROOM = 65536
local SEND_POLL = 1000000 -- ns of virtual time
--- A pattern is looked for at the ends of lines, and in a line that has not grown for so long.
local QUIET = "1ms"
local SHOWN_LINES = 10

local CANCELLED = core.new_error("config", "the task was cancelled")

local Task = { __name = "task" }
Task.__index = Task

--- What belongs to a machine: its tasks in order of creation, and where the main script reads on.
-- Of coroutines: their tasks.
local records = setmetatable({}, { __mode = "k" })
local tasks = setmetatable({}, { __mode = "k" })

local function record_of(vm)
    records[vm] = records[vm] or { tasks = {}, count = 0, cursors = {} }
    return records[vm]
end

local function current_task()
    return tasks[coroutine.running()]
end

--- "file:line: " of the code that called into Perilune.
local function place()
    for level = 2, 100 do
        local info = debug.getinfo(level, "Sl")
        if not info then
            break
        elseif info.currentline > 0 and not info.source:find("/lua/perilune/", 1, true) then
            return ("%s:%d: "):format(info.short_src, info.currentline)
        end
    end
    return ""
end

local function fail(text)
    error(place() .. text, 0)
end

-- ---- text ----

local function find_chardev(vm, id)
    local ids = {}
    for _, c in ipairs(vm:chardevs()) do
        if c.id == id then
            return c
        end
        ids[#ids + 1] = c.id
    end
    return nil, ids
end

local function check_chardev(vm, what, options)
    local id = options and options.chardev or "serial0"
    local c, ids = find_chardev(vm, id)
    if not c then
        fail(util.suggest(('%s: there is no chardev "%s"'):format(what, id), id, ids))
    end
    return c
end

--- The last lines that were written to a chardev, as an array. Bytes that are no text are dots.
function M.last_lines(vm, id, count)
    local c = find_chardev(vm, id or "serial0")
    local lines = {}
    local text = c and native.history(c) or ""
    for line in text:sub(-4096):gmatch("[^\n]+") do
        lines[#lines + 1] = line:gsub("\27%[[%d;?]*%a", ""):gsub("\r", ""):gsub("[^\t\32-\126\128-\255]", ".")
    end
    return table.move(lines, math.max(1, #lines - (count or SHOWN_LINES) + 1), #lines, 1, {})
end

local function with_lines(vm, id, text)
    local lines = M.last_lines(vm, id)
    if #lines == 0 then
        return text
    end
    return ("%s; the last on %s:\n    %s"):format(text, id, table.concat(lines, "\n    "))
end

local function check_options(what, options, known)
    if options ~= nil and type(options) ~= "table" then
        fail(("%s: options are a table, not a %s"):format(what, type(options)))
    end
    for key in pairs(options or {}) do
        local found = false
        for _, name in ipairs(known) do
            found = found or name == key
        end
        if not found then
            fail(util.suggest(('%s: unknown key "%s"'):format(what, tostring(key)),
                tostring(key), known))
        end
    end
    return options or {}
end

-- ---- waiting ----

local function resume(task, ...)
    task.status = "running"
    local waits = native.resume(task.coroutine, task, ...)
    if task.status ~= "running" then
        return
    elseif waits and not task.waiting then
        task.status = "failed"
        task.error = ("task %s: coroutine.yield() in a task; vm:wait_time() waits"):format(task.name)
        coroutine.close(task.coroutine)
        util.fail(task.error)
    end
    task.status = waits and "waiting" or "done"
end

local Guard = {
    --- At the end of a wait, however it ends.
    __close = function(hooks)
        for _, hook in ipairs(hooks) do
            pcall(hook.remove, hook) -- the machine may be closed
        end
    end,
}

--- Wait in a task or in the main script. `w`: vm, what (for messages), timeout (or nil), chardev
-- (whose last lines a message shows), install(on, over): on(event, filter, f) adds a hook whose
-- function calls over(...) with what the wait returns.
local function wait(w)
    local vm, task = w.vm, current_task()
    if task and task.status == "cancelled" then
        error(CANCELLED, 0)
    elseif not task and not native.may_wait() then
        fail(("%s: a hook may not wait; a task may"):format(w.call))
    elseif vm.state == "ended" and task and not w.timeout then
        task:cancel()
    elseif vm.state == "ended" then
        fail(with_lines(vm, w.chardev, ("%s: the machine has ended (%s)"):format(w.call,
            vm.exit_reason)))
    end
    local limit = w.timeout and native.duration(w.timeout)
    local hooks <close> = setmetatable({}, Guard)
    local results
    local function over(...)
        if results then
            return nil
        end
        results = table.pack(...)
        if task then
            task.waiting = nil
            resume(task, ...)
            return nil
        end
        vm:pause("wait")
        return "stop"
    end
    local on_error = task and task.on_error or "pause"
    local name = task and "task " .. task.name or w.call
    local function on(event, filter, f)
        filter.on_error, filter.name = on_error, name
        hooks[#hooks + 1] = vm:on(event, filter, f)
    end
    local function at(ns, f)
        local timer = { on_error = on_error, name = name }
        hooks[#hooks + 1] = vm:at(vm.clock.virtual.now + ns, f, timer)
    end
    w.install(function(...) return over(true, ...) end, on, at)
    if limit then
        at(limit, function()
            return over(false, ("waited %s for %s"):format(type(w.timeout) == "string" and w.timeout
                or w.timeout .. " ns", w.what))
        end)
    end
    if not w.until_stop then
        on("state", { state = "exit" }, function(_, _, reason)
            if task and (reason == "closed" or not limit) then
                return task:cancel()
            end
            return over(false, ("the machine ended (%s) while %s was waited for"):format(reason,
                w.what))
        end)
    end
    if task then
        task.waiting = w.what
        coroutine.yield()
    else
        vm:run()
        if not results then
            fail(with_lines(vm, w.chardev, ("the machine was paused (%s) while %s was waited for")
                :format(vm.pause_reason, w.what)))
        end
    end
    if not results[1] then
        fail(with_lines(vm, w.chardev, results[2]))
    end
    return table.unpack(results, 2, results.n)
end

local methods = {}

--- vm:wait_serial(text [, timeout [, { chardev =, pattern = }]]) → text up to and with the match,
-- captures
function methods.wait_serial(vm, text, timeout, options)
    local known = { "chardev", "pattern" }
    local call = "vm:wait_serial()"
    options = check_options(call, options, known)
    if type(text) ~= "string" or text == "" then
        fail(call .. ": a text is needed")
    end
    local chardev = check_chardev(vm, call, options)
    local id = chardev.id
    local task = current_task()
    local cursors = task and task.vm == vm and task.cursors or record_of(vm).cursors
    local function found()
        local held, total = native.history(chardev, cursors[id] or 0)
        local results = table.pack(held:find(text, 1, not options.pattern))
        if results[1] then
            cursors[id] = total - #held + results[2]
            return held:sub(1, results[2]), table.unpack(results, 3, results.n)
        end
        return nil
    end
    local results = table.pack(found())
    if results[1] then
        return table.unpack(results, 1, results.n)
    end
    return wait { vm = vm, call = call, timeout = timeout, chardev = id,
        what = ("%s %q on %s"):format(options.pattern and "pattern" or "text", text, id),
        install = function(over, on)
            local filter = { chardev = id, quiet = QUIET }
            if not options.pattern then
                filter = { chardev = id, text = text, since = cursors[id] or 0 }
            end
            on("serial", filter, function()
                local match = table.pack(found())
                if match[1] then
                    return over(table.unpack(match, 1, match.n))
                end
            end)
        end }
end

--- vm:wait_exec(address or symbol [, timeout]) → cpu, before the instruction
function methods.wait_exec(vm, at, timeout)
    return wait { vm = vm, call = "vm:wait_exec()", timeout = timeout, chardev = "serial0",
        what = "execution at " .. (math.type(at) == "integer" and ("0x%x"):format(at)
            or tostring(at)),
        install = function(over, on)
            on("exec", { at = at }, over)
        end }
end

--- vm:wait_time(dt): let so much virtual time pass
function methods.wait_time(vm, dt)
    local ns = native.duration(dt)
    wait { vm = vm, call = "vm:wait_time()", chardev = "serial0",
        what = ("%s of virtual time"):format(type(dt) == "string" and dt or dt .. " ns"),
        install = function(over, _, at)
            at(ns, function() return over() end)
        end }
end

--- vm:wait_insn(n): let so many instructions retire
function methods.wait_insn(vm, n)
    wait { vm = vm, call = "vm:wait_insn()", chardev = "serial0", what = n .. " instructions",
        install = function(over, on)
            on("insn", { after = n }, function() return over() end)
        end }
end

--- vm:wait_stop([timeout]) → "pause" or "exit", reason. Pauses of waits of the main script are not
-- told to tasks.
function methods.wait_stop(vm, timeout)
    return wait { vm = vm, call = "vm:wait_stop()", timeout = timeout, chardev = "serial0",
        what = "its stop", until_stop = true,
        install = function(over, on)
            on("state", {}, function(_, state, reason)
                if state == "exit" or state == "pause" and reason ~= "wait" then
                    return over(state, reason)
                end
            end)
        end }
end

--- vm:send(text [, { chardev =, timeout = }]): to the guest. Waits while much that was sent before
-- has not been taken; nothing is lost.
function methods.send(vm, text, options)
    local known = { "chardev", "timeout" }
    options = check_options("vm:send()", options, known)
    if type(text) ~= "string" then
        fail("vm:send(): a text is needed")
    end
    local chardev = check_chardev(vm, "vm:send()", options)
    if not current_task() and not native.may_wait() then
        if native.waiting(chardev) + #text > HOOK_ROOM then
            fail("vm:send(): the guest does not take it, and a hook may not wait; a task may")
        end
        chardev:write(text)
        return
    end
    local limit = options.timeout and native.duration(options.timeout)
    local clock = vm.clock.virtual
    local start = clock.now
    for at = 1, #text, SEND_ROOM do
        local piece = text:sub(at, at + SEND_ROOM - 1)
        while native.waiting(chardev) + #piece > SEND_ROOM do
            if limit and clock.now - start >= limit then
                fail(with_lines(vm, chardev.id, ("waited %s for the guest to take %d bytes on %s")
                    :format(options.timeout, native.waiting(chardev) + #text - at + 1,
                        chardev.id)))
            end
            methods.wait_time(vm, SEND_POLL)
        end
        chardev:write(piece)
    end
end

-- ---- tasks ----

--- vm:task(f [, { name =, on_error = }]) → task. f(vm) begins as soon as the machine runs.
function methods.task(vm, f, options)
    local known = { "name", "on_error" }
    options = check_options("vm:task()", options, known)
    if type(f) ~= "function" then
        fail(("vm:task() takes a function, not a %s"):format(type(f)))
    end
    local record = record_of(vm)
    local creator = current_task()
    local cursors = creator and creator.vm == vm and creator.cursors or record.cursors
    if not creator and not native.may_wait() then
        cursors = {} -- a hook has no place in the text: begin at its end
        for _, c in ipairs(vm:chardevs()) do
            cursors[c.id] = c.bytes_out
        end
    end
    record.count = record.count + 1
    local task = setmetatable({
        vm = vm,
        name = options.name or tostring(record.count),
        on_error = options.on_error or "pause",
        status = "ready",
        cursors = {},
        coroutine = coroutine.create(f),
    }, Task)
    for id, at in pairs(cursors) do
        task.cursors[id] = at
    end
    task.start = vm:at(vm.clock.virtual.now, function()
        resume(task, vm)
    end, { on_error = task.on_error, name = "task " .. task.name })
    tasks[task.coroutine] = task
    table.insert(record.tasks, task)
    return task
end

--- vm:tasks() → { task, ... }: those that are not over, in order of creation
function methods.tasks(vm)
    local _ = vm.state -- raises for a closed one
    local list = {}
    for _, task in ipairs(record_of(vm).tasks) do
        if task:is_alive() then
            list[#list + 1] = task
        end
    end
    return list
end

function Task:is_alive()
    return self.status == "ready" or self.status == "waiting" or self.status == "running"
end

--- End it where it waits; a task that cancels itself ends at once.
function Task:cancel()
    if not self:is_alive() then
        return
    end
    self.status = "cancelled"
    pcall(self.start.remove, self.start) -- the machine may be closed
    if coroutine.running() == self.coroutine then
        error(CANCELLED, 0)
    elseif coroutine.status(self.coroutine) == "suspended" then
        coroutine.close(self.coroutine)
    end
end

function Task:__tostring()
    return ("task %s (%s)"):format(self.name, self.waiting and self.status == "waiting"
        and "waits for " .. self.waiting or self.status)
end

--- The tasks of a machine that have failed.
function M.failed(vm)
    local list = {}
    for _, task in ipairs(records[vm] and records[vm].tasks or {}) do
        if task.status == "failed" then
            list[#list + 1] = task
        end
    end
    return list
end

M.methods = methods
native.set_vm_methods(methods)

M.reference = { { name = "task", label = "task", of = Task,
    help = "a coroutine that waits for what a machine does: vm:task()",
    methods = {
        { "is_alive", "() → boolean", "is it not over" },
        { "cancel", "()", "end it where it waits; a task that cancels itself ends at once" },
    },
    properties = {
        { "vm", "vm", "its machine" },
        { "name", "string", "its name, or its number" },
        { "status", '"ready" or "waiting" or "running" or "done" or "failed" or "cancelled"',
            "how it stands" },
        { "waiting", "string or nil", "what it waits for; nil: it does not wait" },
        { "error", "string or nil", "why it has failed; nil: it has not" },
    } } }

return M
