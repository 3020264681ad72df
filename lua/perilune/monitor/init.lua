--- The monitor: lines that are commands or Lua, in; text, out. docs/monitor.md has the manual.
--
-- A command is one table:
--   { name = , alias = { ... }, args = { row, ... }, help = , run = function(args), show =
--     function(data, args) }
-- run() returns data, show() makes text of it (without one: nothing is shown for nil, else the
-- value). monitor.commands.NAME(...) calls run() and returns its data. No terminal is known here:
-- terminal.lua has that.
local core = require "perilune.core"
local args = require "perilune.monitor.args"
local util = require "perilune.util"
local value = require "perilune.monitor.value"

local M = {}

local by_name = {} -- aliases too
local registered = {} -- in order
local group -- of the commands that are being added

--- Commands that people know and that are not here yet: name → what to do meanwhile.
M.missing = {
    gdbserver = "", savevm = "", loadvm = "", delvm = "",
    screendump = "there is no display", sendkey = "write to the serial port instead",
    eject = "there are no disks", change = "there are no disks",
    snapshot_blkdev = "there are no disks", drive_add = "there are no disks",
    migrate = "", balloon = "",
}

--- What people try, and what does it here.
local instead = { exit = "quit", bye = "quit", reset = "system_reset", reboot = "system_reset",
    resume = "cont", continue = "cont", run = "cont", pause = "stop", powerdown = "system_powerdown",
    shutdown = "system_powerdown", poweroff = "system_powerdown", regs = "info registers" }

-- ---- the machine ----

--- The machine that commands are about: the global variable vm.
function M.vm()
    local vm = rawget(_G, "vm")
    if vm == nil then
        util.fail('there is no machine; make one: vm = perilune.machine("pc", { ... })')
    end
    return vm
end

--- Call f with every cpu standing still.
function M.still(vm, f, ...)
    if vm.state ~= "running" then
        return f(...)
    end
    vm:pause("monitor")
    local result = table.pack(pcall(f, ...))
    if vm.state == "paused" and vm.pause_reason == "monitor" then
        vm:resume()
    end
    if not result[1] then
        error(result[2], 0)
    end
    return table.unpack(result, 2, result.n)
end

--- A register of the first cpu, for expressions.
function M.register(name)
    local vm = M.vm()
    local cpu = vm.cpus[1]
    if not cpu then
        util.fail(("$%s: the machine has no cpu"):format(name))
    end
    local other = { pc = "rip", eip = "rip", eflags = "rflags", sp = "rsp" }
    return M.still(vm, function()
        return cpu[other[name] or name]
    end)
end

-- ---- commands ----

--- Commands as functions that return data.
M.commands = setmetatable({}, {
    __index = function(_, name)
        local command = by_name[name] or by_name[tostring(name):gsub("_", "-")]
        if not command then
            util.fail(M.unknown(tostring(name)))
        end
        return function(...)
            return command.run(args.from_call(command, ...))
        end
    end,
    __pairs = function(t)
        local names = M.names()
        local i = 0
        return function()
            i = i + 1
            if names[i] then
                return names[i], t[names[i]]
            end
        end
    end,
})

local command_keys = {
    { "name", "string", "what is typed" },
    { "alias", "{ string, ... }", "other names" },
    { "args", "{ table, ... }", "arguments: { name, kind, optional =, help = }; docs/monitor.md" },
    { "help", "string", "a line about it" },
    { "run", "function(args: table) → value", "do it, with arguments by name; returns data" },
    { "show", "function(value, args: table) → text", "data as text; values are printed without it" },
    { "complete", "function() → { string, ... }", "candidates for the last word" },
    { "group", "string", "where help lists it" },
}

local known_keys = {}
for i, row in ipairs(command_keys) do
    known_keys[i] = row[1]
end

--- Add a command, or replace the one of that name.
function M.command(c)
    for k in pairs(c) do
        local known = false
        for _, key in ipairs(known_keys) do
            known = known or key == k
        end
        if not known then
            util.fail(util.suggest(('command "%s": unknown key "%s"'):format(tostring(c.name),
                tostring(k)), tostring(k), known_keys))
        end
    end
    if type(c.name) ~= "string" or not c.name:match("^[%a?][%w_-]*$") then
        util.fail("a command needs a name made of letters, digits, _ and -")
    elseif type(c.run) ~= "function" or type(c.help) ~= "string" then
        util.fail(('command "%s" needs run = function and help = text'):format(c.name))
    end
    c.args = c.args or {}
    c.group = c.group or group
    for i = #registered, 1, -1 do
        if registered[i].name == c.name then
            table.remove(registered, i)
        end
    end
    registered[#registered + 1] = c
    by_name[c.name] = c
    for _, name in ipairs(c.alias or {}) do
        by_name[name] = c
    end
    return c
end

function M.find(name)
    return by_name[name]
end

--- Names of all commands, sorted; with_aliases as they can be typed.
function M.names(with_aliases)
    local names = {}
    if with_aliases then
        return util.sorted_keys(by_name)
    end
    for i, c in ipairs(registered) do
        names[i] = c.name
    end
    table.sort(names)
    return names
end

--- All commands, in the order in which they were added.
function M.registered()
    return table.move(registered, 1, #registered, 1, {})
end

--- What to say of a name that is no command.
function M.unknown(name)
    if M.missing[name] then
        local hint = M.missing[name]
        return ("%s is not there yet%s%s"):format(name, hint ~= "" and "; " or "", hint)
    end
    local near = instead[name] or core.nearest(name, M.names(true))
    return ('there is no command "%s"; %s'):format(name,
        near and ('did you mean "%s"?'):format(near) or "help lists them")
end

-- ---- executing a line ----

--- Is what follows the first word an operator, so that the line is Lua whatever the word?
local function goes_on_as_lua(rest)
    return rest:match("^=") or rest:match("^%.%.") or rest:match("^~=") or rest:match("^[<>]=?%s")
        or rest:match("^[+*/%-%%&|^]%s") or rest:match("^and%s") or rest:match("^or%s")
end

local function needs_arguments(command)
    for _, row in ipairs(command.args) do
        if not row.optional then
            return true
        end
    end
    return false
end

--- The command that a line is, and the rest; nil: it is Lua. A global variable of the same name wins
-- where the line makes sense as Lua; but not a function, which nobody means to look at.
local function as_command(line)
    local name, gap, rest = line:match("^%s*([%a?][%w_-]*)(%s*)(.-)%s*$")
    local command = name and by_name[name]
    if not name or (gap == "" and rest ~= "" and rest:sub(1, 1) ~= "/") then
        return nil
    elseif goes_on_as_lua(rest) and not (command and name:find("-", 1, true)) then
        return nil -- but for "qom-get / type": a name with "-" is none in Lua
    elseif command and rest == "" and needs_arguments(command) then
        local variable = rawget(_G, name)
        if variable ~= nil and type(variable) ~= "function" then
            return nil
        end
    end
    return command, rest, name
end

local function show_command(command, rest)
    local values = args.from_line(command, rest, M.register)
    local data = command.run(values)
    if command.show then
        return command.show(data, values) or ""
    end
    return data == nil and "" or value.show(data)
end

--- One line of a traceback: where in the user's own code it happened.
local function with_place(problem)
    if type(problem) ~= "string" then
        return problem
    end
    for level = 2, 30 do
        local info = debug.getinfo(level, "Sl")
        if not info then
            break
        elseif info.currentline > 0 and info.source:sub(1, 1) == "@"
            and not info.source:find("/lua/perilune/", 1, true)
            and not problem:find(info.short_src, 1, true) then
            return ("%s\n  in %s:%d"):format(problem, info.short_src, info.currentline)
        end
    end
    return problem
end

local function error_text(problem)
    return "error: " .. tostring(problem)
end

local function is_exit(problem)
    return type(problem) == "table" and rawget(problem, "kind") == "exit"
end

local function run_protected(f, ...)
    local result = table.pack(xpcall(f, with_place, ...))
    if not result[1] and is_exit(result[2]) then
        error(result[2], 0)
    end
    return result
end

--- One word that is neither a variable nor part of the language: a command that was mistyped.
local function is_unknown_word(code)
    local first, rest = code:match("^%s*([%a_][%w_]*)([%w_-]*)%s*$")
    if not first then
        first, rest = code:match("^%s*([%a_][%w_]*)(%-[%w_-]+)%s+[^%s=]")
    end
    return first and rawget(_G, first) == nil and (rest ~= "" or load("local " .. first) ~= nil)
end

--- The first of several words that do not make Lua.
local function plain_words(line)
    return line:match("^%s*(%a[%w_-]*)%s+[^%s=(.:%[{'\"]")
end

local function print_results(result)
    local shown = {}
    for i = 2, result.n do
        shown[#shown + 1] = value.show(result[i])
    end
    if result.n > 1 then
        _G._ = result[2]
    end
    return table.concat(shown, "\t")
end

--- An expression or statements. Returns the chunk, or nil, the problem, and whether it is only that
-- more is to come.
local function parse(code)
    local chunk, of_value = load("return " .. code, "=monitor", "t")
    local problem
    if not chunk then
        chunk, problem = load(code, "=monitor", "t")
    end
    if chunk then
        return chunk
    elseif of_value:find("<eof>", 1, true) then
        return nil, of_value, true
    end
    return nil, problem, problem:find("<eof>", 1, true) ~= nil
end

--- Run Lua code. Returns text and whether it went well; nil: the code is not complete.
local function run_lua(code)
    if is_unknown_word(code) then
        return error_text(M.unknown(code:match("%S+"))), false
    end
    local chunk, problem, incomplete = parse(code)
    if not chunk then
        if incomplete then
            return nil
        end
        local name = plain_words(code)
        if name and (M.missing[name] or not by_name[name]) and rawget(_G, name) == nil then
            problem = M.unknown(name)
        end
        return error_text(problem), false
    end
    local result = run_protected(chunk)
    if not result[1] then
        return error_text(result[2]), false
    end
    return print_results(result), true
end

--- Execute one line, or several of Lua. Returns its text, and whether it went well; nil when more
-- lines are needed.
function M.execute(line)
    line = line:gsub("^%s*=%s*", "return ", 1)
    if line:match("^%s*$") then
        return "", true
    end
    local command, rest, name = as_command(line)
    if command then
        local result = run_protected(show_command, command, rest)
        return result[1] and result[2] or error_text(result[2]), result[1]
    elseif name and M.missing[name] and rawget(_G, name) == nil then
        return error_text(M.unknown(name)), false
    end
    return run_lua(line)
end

--- A reader of lines, each given to feed(): returns text and whether it went well, or nil as long
-- as a piece of Lua goes on. An empty line ends one that would go on for ever.
function M.session()
    local pending
    return {
        feed = function(line)
            local code = pending and pending .. "\n" .. line or line
            local text, ok = M.execute(code)
            if text == nil and pending and line:match("^%s*$") then
                local _, problem = parse(code)
                text, ok = error_text(problem), false
            end
            pending = text == nil and code or nil
            return text, ok
        end,
        waiting = function()
            return pending ~= nil
        end,
        drop = function()
            pending = nil
        end,
    }
end

function M.complete(text)
    return require("perilune.monitor.complete").complete(M, text)
end

M.show = value.show
M.usage = args.usage
M.version = core.version

--- Files with commands, and where help lists these.
for _, part in ipairs { { "control", "The machine" }, { "memory", "Memory and ports" },
    { "dump", "Memory and ports" }, { "devices", "Devices and networks" },
    { "inform", "What there is" }, { "faults", "Faults" }, { "help", "Help" } } do
    group = part[2]
    require("perilune.monitor." .. part[1]).register(M)
end
group = "Further"

M.reference = {
    { name = "perilune.monitor", label = "module", help = "the monitor: docs/monitor.md", of = M,
        internal = { "missing", "register", "version", "usage", "find", "unknown",
            "registered" },
        functions = {
            { "vm", "() → vm", "the machine that commands are about: the global variable vm" },
            { "still", "(vm, f, ...) → value, ...", "call f(...) with every cpu standing still" },
            { "command", "(spec: monitor.command) → monitor.command",
                "add a command, or replace the one of that name" },
            { "names", "([with_aliases: boolean]) → { name, ... }", "of all commands, sorted" },
            { "execute", "(line: string) → text, boolean",
                "execute a line; nil when more lines are needed" },
            { "session", "() → table", "a reader of lines: feed(line), waiting(), drop()" },
            { "complete", "(line: string) → { string, ... }", "lines that it could become" },
            { "show", "(value) → text", "a value as the monitor prints it" },
        },
        properties = {
            { "commands", "{ [name] = f }", "commands as functions that return data" },
        } },
    { name = "monitor.command", label = "table", help = "a command of the monitor", keys = command_keys },
}

return M
