--- The monitor on the terminal: reads lines, executes them, prints what they say.
local core = require "perilune.core"
local chardev = require "perilune.chardev"
local monitor = require "perilune.monitor"
local notice = require "perilune.monitor.notice"
local uv = require "luv"

local M = {}

--- The file of lines typed before, its folder made; nil where there is no home.
local function history_path()
    local state = os.getenv("XDG_STATE_HOME")
    local home = os.getenv("HOME")
    if not state or state:sub(1, 1) ~= "/" then
        state = home and home ~= "" and home .. "/.local/state"
    end
    if not state then
        return nil
    end
    local dir = state .. "/perilune"
    local made = ""
    for part in dir:gmatch("[^/]+") do
        made = made .. "/" .. part
        uv.fs_mkdir(made, 448) -- 0700
    end
    return uv.fs_access(dir, "W") and dir .. "/history" or nil
end

local function print_text(text)
    if text and text ~= "" then
        io.write(text, "\n")
    end
    io.flush()
end

--- What is typed is for the prompt. Lua code that read it would wait for it in C, where nothing reaches it, Ctrl-C
-- included: it finds the end of input instead.
local function keep_input()
    local nothing = io.open("/dev/null")
    io.input(nothing)
    rawset(io, "stdin", nothing)
end

--- nil: there is no such machine, or no more.
local function state_of(vm)
    local ok, state = pcall(function()
        return vm.state
    end)
    return ok and state or nil
end

--- Ctrl-C at the prompt: drop what was typed, and pause.
local function interrupted(session)
    session.drop()
    local vm = rawget(_G, "vm")
    if state_of(vm) == "running" then
        session.executing = true
        vm:pause("user")
        session.executing = false
        print_text("paused; c lets it run")
    end
end

M.why_paused = notice.why_paused

--- Say so when it happens, unless it is what a line typed here has just asked for.
local function tell_pauses(vm, session, terminal)
    return notice.watch(vm, function(text, reason, author)
        if reason == "hook" or author or not (session.executing or vm.state == "ended") then
            terminal:tell(text)
        end
    end)
end

--- The machine of the variable vm tells, whichever that is by now. `told` is { vm =, hook = }.
local function follow(told, session, terminal)
    local vm = rawget(_G, "vm")
    if rawequal(vm, told.vm) then
        return
    end
    if told.hook then
        pcall(told.hook.remove, told.hook) -- its machine may be gone
    end
    local ok, hook = pcall(tell_pauses, vm, session, terminal)
    told.vm, told.hook = vm, ok and hook or nil
end

local function execute(session, line, terminal)
    session.executing = true
    local ok, text = terminal:call(session.feed, line)
    session.executing = false
    if not ok and type(text) == "table" then
        error(text, 0) -- a request to exit
    elseif not ok then -- interrupted in the monitor's own code
        session.drop()
        text = "error: " .. tostring(text)
    end
    print_text(text)
end

--- Input is over: a machine that runs goes on without a monitor.
local function ended_input(vm)
    if vm and vm.state == "running" then
        vm:wait()
    end
end

--- The monitor's port where a serial port of the machine is at the terminal too.
local function shared_port(vm)
    for _, c in ipairs(vm and vm:chardevs() or {}) do
        if c.kind == "stdio" and c.mux then
            return chardev.monitor_port(vm, c.id)
        end
    end
end

--- Read and execute until the end of input, quit, or the end of `vm` (nil: no machine yet), or until a line has
-- closed that. The request to exit that quit makes is raised.
function M.run(options)
    local vm = options.vm
    local interactive = uv.guess_handle(0) == "tty" and uv.guess_handle(1) == "tty"
    local terminal <close> = core.terminal { chardev = shared_port(vm), focus = options.focus,
        history = interactive and history_path() or nil }
    keep_input()
    local session = monitor.session()
    local told <close> = setmetatable({}, { __close = function(told)
        if told.hook then
            pcall(told.hook.remove, told.hook)
        end
    end })
    if interactive and options.greeting then
        print_text(options.greeting)
    end
    while not vm or state_of(vm) do
        local prompt = not interactive and "" or session.waiting() and ">> " or "perilune> "
        follow(told, session, terminal)
        local event, text = terminal:read(prompt, vm)
        if event == "line" then
            execute(session, text, terminal)
        elseif event == "complete" then
            local ok, lines = pcall(monitor.complete, text)
            terminal:answer(ok and lines or {})
        elseif event == "interrupt" then
            interrupted(session)
        elseif event == "quit" then
            core.exit(0)
        elseif event == "ended" then
            return
        elseif event == "end" then
            return ended_input(vm)
        end
    end
end

return M
