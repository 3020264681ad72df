--- The command line: what `perilune` does with its arguments.
local core = require "perilune.core"
local uv = require "luv"
local filter = require "perilune.filter"
local options = require "perilune.cli.options"
local util = require "perilune.util"

local M = {}

local STATUS_CONFIG, STATUS_HOST = 2, 4

local function on_terminal()
    return uv.guess_handle(0) == "tty" and uv.guess_handle(1) == "tty"
end

local function is_given(list, text)
    for _, value in ipairs(list or {}) do
        if value == text then
            return true
        end
    end
    return false
end

--- On a terminal --nographic and mon:stdio have the monitor too; elsewhere input belongs to the
-- serial port, unless the monitor is asked for.
local function has_monitor(state)
    if state.monitor then
        return state.monitor == "stdio"
    end
    return (state.nographic or is_given(state.machine.serial, "mon:stdio")) and on_terminal()
end

local function makes_stdio(p)
    for _, text in ipairs(p.chardev or {}) do
        if text:match("^stdio,") or text:match("backend=stdio") then
            return true
        end
    end
    return false
end

--- The serial port that a command line gets when it says nothing of one.
local function add_defaults(state)
    local p = state.machine
    if not p.serial then
        p.serial = { state.no_defaults and "none" or makes_stdio(p) and "null" or "stdio" }
    end
    if (state.nographic or has_monitor(state)) and p.escapes == nil then
        p.escapes = true
    end
end

--- Where whoever wants to reach a backend must be told.
local function print_places(vm)
    for _, c in ipairs(vm:chardevs()) do
        if c.kind == "pty" then
            io.stderr:write(("perilune: %s is at %s\n"):format(c.id, c.filename))
        end
    end
end

--- Errors about a property are told by the option that sets it.
local function create(state)
    add_defaults(state)
    local ok, result = pcall(require("perilune.machine").create, state.machine_name or "pc", state.machine)
    if ok then
        return result
    end
    if type(result) == "table" and result.property then
        result.text = options.option_of(state, result.property) .. ": " .. (result.problem or result.text)
    end
    error(result, 0)
end

local function print_dumps(vm, names)
    local info = require "perilune.monitor.info"
    for i, name in ipairs(names) do
        io.write(i > 1 and "\n" or "", info[name](vm))
    end
end

local function write_stats(vm, path, started_ns)
    local data = require("perilune.stats").collect(vm)
    data.start_s = started_ns / 1e9
    local file, problem = io.open(path, "w")
    if not file then
        util.fail(("--stats: %s"):format(problem))
    end
    file:write(require("perilune.json").encode(data, true), "\n")
    file:close()
end

--- Signals end the run in order, so that the terminal and files are left well. Returns the signal
-- that came, later.
local function watch_signals(vm)
    local seen = { handles = {} }
    for _, name in ipairs { "sigint", "sigterm", "sighup" } do
        local handle = uv.new_signal()
        handle:start(name, function()
            seen.name = name
            vm:stop("signal", 0)
        end)
        handle:unref()
        table.insert(seen.handles, handle)
    end
    return seen
end

--- Die of the signal that ended the run, as whoever sent it expects.
local function follow_signal(seen)
    for _, handle in ipairs(seen.handles) do
        handle:close()
    end
    return seen.name
end

local function run_script(path, args, vm)
    local chunk, problem = util.load_file(path)
    if not chunk then
        util.fail(problem)
    end
    _G.arg = table.move(args, 1, #args, 1, { [0] = path })
    _G.vm = vm
    return chunk(table.unpack(args))
end

-- Pauses from which nobody can go on without a monitor: what the run ends with.
local DEAD_ENDS = {
    ["script error"] = { "script-error", STATUS_CONFIG },
    ["cpu error"] = { "cpu-error", STATUS_HOST },
}

--- Run until the machine has ended. A pause without a monitor lasts until a signal or Ctrl-a x; but
-- one that a failing hook or a failing backend has asked for ends the run.
local function run_to_end(vm)
    vm:run()
    while vm.state == "paused" do
        local dead_end = DEAD_ENDS[vm.pause_reason]
        if dead_end then
            vm:stop(table.unpack(dead_end))
            return
        end
        core.log("warning", vm.name, "paused: " .. vm.pause_reason)
        vm:wait()
    end
end

--- Run with the monitor at the prompt. quit ends the run like anything else. Returns whether the machine is still
-- there.
local function run_monitored(vm, state)
    _G.vm = vm
    if not state.start_paused then
        vm:resume()
    end
    local focus = state.monitor == "stdio" or state.start_paused
    local ok, problem = pcall(require("perilune.monitor.terminal").run, { vm = vm, focus = focus,
        greeting = focus and 'help lists commands; any other line is Lua' or nil })
    if not ok and not (type(problem) == "table" and problem.kind == "exit") then
        error(problem, 0)
    end
    local there, now = pcall(function()
        return vm.state
    end)
    if there and now ~= "ended" then
        vm:stop("quit", not ok and problem.status or 0)
    end
    return there
end

--- A monitor on the backend of that id; at the process's terminal it is the one with the editor.
local function attach_monitor(vm, state, id)
    local c = vm:chardev(id)
    if c.kind == "stdio" and c.mux and on_terminal() then
        state.monitor = "stdio"
    else
        require("perilune.monitor.remote").attach(require("perilune.chardev").monitor_port(vm, id))
    end
end

local function start_monitor(vm, state, text, n)
    local chardev = require "perilune.chardev"
    local spec = chardev.short(text, true)
    if spec.use then
        attach_monitor(vm, state, spec.use)
    elseif spec.type == "socket" and spec.server and not spec.mux then
        return require("perilune.monitor.remote").listen(text)
    else
        spec.id = "monitor" .. n .. "-base"
        chardev.make(vm.machine, spec)
        attach_monitor(vm, state, spec.id)
    end
end

local function close_all(servers)
    for _, server in ipairs(servers) do
        server.close()
    end
end

--- Monitors beside the one at the terminal. Returns those that listen.
local function serve(vm, state)
    local servers = setmetatable({}, { __close = close_all })
    local function start(option, text, n)
        local ok, result = pcall(start_monitor, vm, state, text, n)
        if not ok then
            close_all(servers)
            if type(result) == "table" and rawget(result, "text") then
                result.text = option .. ": " .. result.text
            end
            error(result, 0)
        end
        servers[#servers + 1] = result
        state.has_client_monitor = true
    end
    for i, text in ipairs(state.monitors or {}) do
        start("--monitor", text, i - 1)
    end
    for i, text in ipairs(state.machine.serial) do
        local shared = type(text) == "string" and text:match("^mon:(.*)$")
        if shared and shared ~= "stdio" then
            start("--serial", "chardev:" .. (shared:match("^chardev:([^,]+)")
                or "serial" .. i - 1 .. "-base"), 0)
        end
    end
    return servers
end

--- The prompt with no machine: whatever is made there is the user's.
local function repl()
    require("perilune.monitor.terminal").run {
        greeting = ("Perilune %s. help lists commands; any other line is Lua; Ctrl-D ends.")
            :format(core.version) }
    return 0
end

local function run_machine(state)
    local started = core.realtime_ns()
    if state.stats then
        local file, problem = io.open(state.stats, "w")
        if not file then
            util.fail(("--stats: %s"):format(problem))
        end
        file:close()
    end
    local vm = create(state)
    for _, spec in ipairs(state.objects) do
        local ok, problem = pcall(filter.add, vm, spec)
        if not ok then
            vm:close()
            util.fail(("--object: %s"):format(tostring(problem)))
        end
    end
    if state.dump then
        print_dumps(vm, state.dump)
        vm:close()
        return 0
    end
    print_places(vm)
    _G.vm = vm
    local servers <close> = serve(vm, state)
    local controlled = has_monitor(state) or state.has_client_monitor
    if not state.machine.kernel and not state.script and not controlled then
        vm:close()
        util.fail("nothing to run: give --kernel FILE, --script FILE or --dump")
    elseif state.start_paused and not controlled then
        vm:close()
        util.fail("-S: somebody must let it run; add --monitor stdio")
    end
    if state.script then
        run_script(state.script, {}, vm)
    end
    local seen = watch_signals(vm)
    local before_run = core.realtime_ns()
    if has_monitor(state) then
        if not run_monitored(vm, state) then
            close_all(servers)
            return 0
        end
    elseif state.start_paused then
        vm:wait()
    else
        run_to_end(vm)
    end
    close_all(servers)
    if state.stats then
        write_stats(vm, state.stats, before_run - started)
    end
    local status, reason = vm.exit_status, vm.exit_reason
    vm:close()
    if follow_signal(seen) then
        uv.kill(uv.os_getpid(), seen.name)
    elseif status ~= 0 and status & 1 == 0 then
        io.stderr:write(("perilune: %s\n"):format(reason))
    end
    return status
end

local function set_log(state)
    if state.log_level then
        core.log_level(state.log_level)
    end
    if state.log_file then
        core.log_file(state.log_file)
    end
end

--- The first value that a chunk returns, if it is an integer, is the exit status.
local function status_of(value)
    return math.type(value) == "integer" and value or 0
end

--- What scripts and definitions of machines find.
local function set_globals()
    _G.perilune = require "perilune"
    _G.machine = require "perilune.machine"
end

--- Answer --help, --version and the like.
local function help(what, subject)
    if what ~= "help" and what ~= "version" then
        set_globals()
    end
    return require("perilune.cli.help")[what](subject) or 0
end

--- Returns the exit status. `args` is what the process got, with its name at 0.
function M.main(args)
    local state = args[1] ~= "test" and options.parse(args)
    if state and state.action then
        set_log(state)
        return help(state.action[1], state.action[2])
    end
    set_globals()
    if not state then
        return require("perilune.test.command").main(table.move(args, 2, #args, 1, {}))
    end
    set_log(state)
    if state.code then
        local chunk, problem = load(state.code, "=(command line)")
        if not chunk then
            util.fail("-e: " .. problem)
        end
        return status_of(chunk())
    elseif state.script_file then
        if state.uses_machine then
            util.fail(("%s: a script makes its machines itself; to give it this one, use --script")
                :format(state.script_file))
        end
        return status_of(run_script(state.script_file, state.script_args))
    elseif state.uses_machine then
        return run_machine(state)
    end
    return repl()
end

return M
