--- The options of the command line, one row each; parsing, --help and suggestions all come from
-- this table.
--
-- A row: name, arg (what follows it; nil: nothing), short (spellings with one dash beside -name),
-- help, and set(state, value), which may raise. `state.machine` holds properties of the machine by
-- name.
local core = require "perilune.core"
local filter = require "perilune.filter"
local util = require "perilune.util"

local M = {}

local function property(state, name, value)
    state.machine[name] = value
    state.given[name] = state.option
    state.uses_machine = true
end

local function append(state, name, value)
    state.machine[name] = state.machine[name] or {}
    table.insert(state.machine[name], value)
    state.given[name] = state.option
    state.uses_machine = true
end

--- A setter for a property that the option carries as it is.
local function sets(name)
    return function(state, value)
        property(state, name, value)
    end
end

--- As people know it, a bare number is MiB here.
local function memory(state, value)
    local plain, keyed = util.parse_list(value)
    local size = keyed.size and keyed.size[1] or plain[1] or ""
    for key in pairs(keyed) do
        if key ~= "size" then
            util.fail(('"%s" is not available; only a size is'):format(key))
        end
    end
    property(state, "memory", size:match("^%d+$") and size .. "M" or size)
end

local function smp(state, value)
    local plain, keyed = util.parse_list(value)
    local n = keyed.cpus and keyed.cpus[1] or plain[1]
    for key in pairs(keyed) do
        if key ~= "cpus" then
            util.fail(('"%s" is not available; only a number of cpus is'):format(key))
        end
    end
    if math.tointeger(tonumber(n)) == 0 then
        util.fail("0: a machine needs a cpu to boot; one without is made by a script, "
            .. "perilune.machine(NAME, { cpus = 0 })")
    end
    property(state, "cpus", n)
end

--- Where other programs have another word for what is `irqchip` here.
local other_irqchips = { on = "kernel", split = "split", off = "user" }

local function irqchip(state, key, value)
    if key ~= "irqchip" then
        util.fail(('%s=%s: write irqchip=%s'):format(key, value, other_irqchips[value]
            or "kernel, irqchip=split or irqchip=user"))
    end
    property(state, "irqchip", value)
end

local irqchip_keys = { irqchip = true, kernel_irqchip = true, ["kernel-irqchip"] = true }

local function accel(state, value)
    local plain, keyed = util.parse_list(value)
    property(state, "accel", plain[1] == "tcg" and "soft" or plain[1] or value)
    if plain[2] then
        util.fail(('"%s" is not of the form property=value'):format(plain[2]))
    end
    for key, values in pairs(keyed) do
        if not irqchip_keys[key] then
            util.fail(util.suggest(('unknown key "%s"'):format(key), key, { "irqchip" }))
        end
        irqchip(state, key, values[#values])
    end
end

local function machine(state, value)
    local plain, keyed = util.parse_list(value)
    state.machine_name = plain[1]
    state.uses_machine = true
    if plain[1] == "help" then
        state.action = { "machine_help" }
    elseif plain[2] == "help" then
        state.action = { "machine_props_help", plain[1] }
    elseif plain[2] then
        util.fail(('"%s" is not of the form property=value'):format(plain[2]))
    end
    for key, values in pairs(keyed) do
        if key == "accel" then
            accel(state, values[#values])
        elseif irqchip_keys[key] then
            irqchip(state, key, values[#values])
        else
            property(state, key, values[#values])
        end
    end
end

local function device(state, value)
    local plain = util.parse_list(value)
    if value == "help" then
        state.action = { "device_help" }
    elseif plain[2] == "help" then
        state.action = { "device_props_help", plain[1] }
    else
        append(state, "device", value)
    end
end

--- A dump is a property of the machine; other filters come to one that is there.
local function object(state, value)
    local kind = util.parse_list(value)[1] or ""
    if kind == "filter-dump" then
        append(state, "dump", value)
    elseif filter.kinds[kind] then
        state.uses_machine = true
        table.insert(state.objects, value)
    else
        filter.unknown(kind)
    end
end

local function rtc(state, value)
    local plain, keyed = util.parse_list(value)
    if plain[1] then
        util.fail(('"%s" is not of the form base=DATE'):format(plain[1]))
    end
    for key in pairs(keyed) do
        if key ~= "base" and not (key == "clock" and keyed.clock[1] == "vm") then
            util.fail(('"%s" is not available; base=utc or base=DATE is'):format(key))
        end
    end
    property(state, "epoch", keyed.base and keyed.base[1] or "utc")
end

local levels = { "error", "warning", "info", "debug" }

local function log(state, value)
    local plain, keyed = util.parse_list(value)
    local level = plain[1] or keyed.level and keyed.level[1]
    for key in pairs(keyed) do
        if key ~= "level" and key ~= "file" then
            util.fail(util.suggest(('unknown key "%s"'):format(key), key, { "level", "file" }))
        end
    end
    if level then
        for _, name in ipairs(levels) do
            if name == level then
                state.log_level = name
            end
        end
        if not state.log_level then
            util.fail(util.suggest(('"%s" is not one of %s'):format(level, table.concat(levels,
                ", ")), level,
                levels))
        end
    end
    state.log_file = keyed.file and keyed.file[1] or state.log_file
end

--- Patterns are looked at when the machine is made; the rest is checked here.
local function trace(state, value)
    if value == "help" then
        state.action = { "trace_help" }
        return
    end
    require("perilune.trace").parse(value)
    append(state, "trace", value)
end

local function set(state, value)
    local name, given = value:match("^([%w%._-]+)=(.*)$")
    if not name then
        util.fail(('"%s" is not of the form property=value'):format(value))
    end
    property(state, name, given)
end

local dumps = { "mtree", "flat", "qtree" }

local function dump(state, value)
    state.dump = state.dump or {}
    for _, name in ipairs((util.parse_list(value))) do
        local known = false
        for _, d in ipairs(dumps) do
            known = known or d == name
        end
        if not known then
            util.fail(util.suggest(('"%s" is not one of %s'):format(name, table.concat(dumps,
                ", ")), name,
                dumps))
        end
        table.insert(state.dump, name)
    end
    state.uses_machine = true
end

local function nographic(state)
    state.nographic = true
    state.uses_machine = true
end

local function append_monitor(state, value)
    state.monitors = state.monitors or {}
    table.insert(state.monitors, value)
    state.uses_machine = true
end

local function monitor(state, value)
    if value == "none" then
        state.monitor = value
    elseif value == "stdio" or value == "mon:stdio" then
        state.monitor = "stdio"
        state.uses_machine = true
    else
        append_monitor(state, value)
    end
end

--- As people know it: chardev=ID,mode=readline.
local function mon(state, value)
    local plain, keyed = util.parse_list(value)
    local id = keyed.chardev and keyed.chardev[1] or plain[1]
    for key in pairs(keyed) do
        if key ~= "chardev" and key ~= "mode" then
            util.fail(util.suggest(('unknown key "%s"'):format(key), key, { "chardev", "mode" }))
        end
    end
    if not id then
        util.fail("chardev=ID is missing")
    elseif keyed.mode and keyed.mode[1] ~= "readline" then
        util.fail(('mode "%s" is not available; readline is'):format(keyed.mode[1]))
    end
    append_monitor(state, "chardev:" .. id)
end

--- For options of other programs that ask for nothing when their value is "none".
local function only_none(_, value)
    if value ~= "none" then
        util.fail(('"%s" is not available; only "none" is'):format(value))
    end
end

M.rows = {
    { name = "machine", short = { "M" }, arg = "NAME[,PROPERTY=VALUE...]", set = machine,
        help = "the machine: a name or a definition's file; \"help\" lists, NAME,help shows its properties" },
    { name = "memory", short = { "m" }, arg = "SIZE", set = memory,
        help = "guest RAM; a bare number is MiB" },
    { name = "smp", arg = "N", set = smp, help = "number of cpus" },
    { name = "cpu", arg = "MODEL[,+FEATURE][,-FEATURE...]",
        set = function(state, value)
            if value == "help" then
                state.action = { "cpu_help" }
            else
                property(state, "cpu", value)
            end
        end,
        help = "base, host or max, and features by name; \"help\" lists them with what this host offers" },
    { name = "accel", arg = "soft|kvm|auto[,irqchip=kernel|split|user]", set = accel,
        help = "what executes guest code, soft unless given; auto tries KVM out and says what it chose. "
            .. "irqchip: who has the PC's interrupt chips" },
    { name = "kernel", arg = "FILE", set = sets "kernel",
        help = "kernel or program: bzImage, vmlinux, multiboot or plain ELF" },
    { name = "initrd", arg = "FILE", set = sets "initrd", help = "initial RAM disk" },
    { name = "append", arg = "TEXT", set = sets "append", help = "kernel command line" },
    { name = "nic", arg = "none|user[,mac=..][,hostfwd=..][,model=..][,dump=FILE]",
        set = function(state, value)
            append(state, "nic", value)
        end,
        help = "a network card with its network; without this option there is none" },
    { name = "netdev", arg = "user|hubport,id=ID[,hostfwd=..]",
        set = function(state, value)
            append(state, "netdev", value)
        end,
        help = "a network, for a --device that names it" },
    { name = "device", arg = "TYPE[,PROPERTY=VALUE...]", set = device,
        help = "one more device; \"help\" lists types, TYPE,help shows properties" },
    { name = "object", arg = "KIND,id=ID,netdev=NETDEV,...", set = object,
        help = "a filter on a network: filter-dump with file=, filter-buffer, filter-mirror, filter-redirector" },
    { name = "chardev", arg = "KIND,id=ID[,OPTION=VALUE...]",
        set = function(state, value)
            if value == "help" then
                state.action = { "chardev_help" }
            else
                append(state, "chardev", value)
            end
        end,
        help = "a character backend, for --serial, --monitor and devices; \"help\" lists kinds" },
    { name = "serial",
        arg = "chardev:ID|[mon:]stdio|pty|null|none|ring|file:PATH|unix:PATH[,server][,nowait]"
            .. "|tcp:HOST:PORT[,server][,nowait]",
        set = function(state, value)
            append(state, "serial", value)
        end,
        help = "a serial port, and one more each time; the first is at stdio by default" },
    { name = "nographic", set = nographic,
        help = "serial port and monitor share the terminal: Ctrl-a c switches, Ctrl-a h helps" },
    { name = "monitor", arg = "stdio|none|unix:PATH|tcp:127.0.0.1:PORT|chardev:ID|pty", set = monitor,
        help = "a prompt for commands and Lua; with a serial port at stdio too, Ctrl-a c switches" },
    { name = "mon", arg = "chardev=ID", set = mon, help = "the same as --monitor chardev:ID" },
    { name = "S", set = function(state)
        state.start_paused = true
        state.uses_machine = true
    end, help = "do not start: wait for cont at the monitor" },
    { name = "rtc", arg = "base=utc|DATE", set = rtc,
        help = "time of day at the start, such as 2026-01-31T12:00:00" },
    { name = "set", arg = "PROPERTY=VALUE", set = set, help = "any property of the machine" },
    { name = "no-reboot", set = function(state)
        property(state, "reboot", false)
    end, help = "a reset ends the run" },
    { name = "no-shutdown", set = function(state)
        property(state, "shutdown", false)
    end, help = "powering off pauses instead of ending the run" },
    { name = "log", arg = "LEVEL|file=PATH", set = log,
        help = "error, warning, info or debug; where to" },
    { name = "trace", arg = "PATTERN,...[,file=PATH][,format=json]", set = trace,
        help = "write events as lines, such as \"e1000.*,-e1000.reg_*\"; \"help\" lists them" },
    { name = "stats", arg = "FILE", set = function(state, value)
        state.stats = value
        state.uses_machine = true
    end, help = "write statistics as JSON when the run ends" },
    { name = "dump", arg = "mtree,flat,qtree", set = dump,
        help = "print listings of the machine and exit" },
    { name = "script", arg = "FILE", set = function(state, value)
        state.script = value
        state.uses_machine = true
    end, help = "run a Lua file with the machine in the variable vm before it starts" },
    { name = "e", short = { "e" }, arg = "CODE", set = function(state, value)
        state.code = value
    end, help = "run Lua code and exit" },
    { name = "doctor", set = function(state)
        state.action = { "doctor" }
    end, help = "look at what this host can do, say what is missing and how to get it, and exit" },
    { name = "report", arg = "FILE", optional = true, set = function(state, value)
        state.action = { "doctor", value or "perilune-report.json" }
    end, help = "the same, and write it into a file that can be sent: perilune-report.json unless named" },
    { name = "version", set = function(state)
        state.action = { "version" }
    end, help = "print the version and exit" },
    { name = "help", short = { "h" }, set = function(state)
        state.action = { "help" }
    end, help = "print this and exit" },
    -- Spellings that people paste; they ask for what is here anyway.
    { name = "enable-kvm", set = function(state)
        accel(state, "kvm")
    end },
    { name = "display", arg = "none", set = only_none },
    { name = "vga", arg = "none", set = only_none },
    { name = "parallel", arg = "none", set = only_none },
    { name = "qmp", arg = "none", set = only_none },
    { name = "nodefaults", set = function(state)
        state.no_defaults = true
    end },
    { name = "no-user-config", set = function() end },
}

--- Options that people know and that are not here yet, with what to do meanwhile.
M.missing = {
    bios = "firmware is not loaded yet; give --kernel",
    drive = "there are no disks yet; put files into --initrd",
    cdrom = "there are no disks yet; put files into --initrd",
    hda = "there are no disks yet; put files into --initrd",
    boot = "there are no disks to boot from yet; give --kernel",
    gdb = "the GDB server is not there yet",
    s = "the GDB server is not there yet",
    vnc = "there is no display",
    usb = "there is no USB",
    loadvm = "snapshots are not there yet",
    snapshot = "snapshots are not there yet",
    daemonize = "it stays in the foreground; use your shell or service manager",
    d = "use --log debug",
    D = "use --log file=PATH",
    net = "use --nic, or --netdev and --device",
}

--- Options that take one of a few values, for which "help" is none.
local choices = { accel = true, nic = true, netdev = true, object = true, serial = true,
    monitor = true, rtc = true, log = true, dump = true }

local function by_spelling()
    local map, names = {}, {}
    for _, row in ipairs(M.rows) do
        map[row.name] = row
        names[#names + 1] = row.name
        for _, short in ipairs(row.short or {}) do
            map[short] = row
        end
    end
    return map, names
end

local function unknown(name, names)
    if M.missing[name] then
        util.fail(("--%s: %s"):format(name, M.missing[name]))
    end
    local near = core.nearest(name, names)
    util.fail(near and ("--%s: unknown option; did you mean --%s?"):format(name, near)
        or ("--%s: unknown option; --help lists all"):format(name))
end

--- Parse `args` (from 1). Returns the state: machine (properties), machine_name, script_file and
-- script_args, ...
function M.parse(args)
    local map, names = by_spelling()
    local state = { machine = {}, given = {}, objects = {}, script_args = {} }
    local i = 1
    while i <= #args do
        local arg = args[i]
        local name, inline = arg:match("^%-%-?([%a][%w-]*)=(.*)$")
        name = name or arg:match("^%-%-?(%a[%w-]*)$")
        if not name then
            if arg:sub(1, 1) == "-" then
                util.fail(("%s: not an option; --help lists all"):format(arg))
            end
            state.script_file = arg
            table.move(args, i + 1, #args, 1, state.script_args)
            break
        end
        local row = map[name] or unknown(name, names)
        local value = inline
        local follows = args[i + 1]
        if row.arg and not value and not (row.optional and (follows or "-"):sub(1, 1) == "-") then
            i = i + 1
            value = follows
            if not value then
                util.fail(("--%s: %s must follow it"):format(row.name, row.arg))
            end
        elseif not row.arg and inline then
            util.fail(("--%s: it takes no value"):format(row.name))
        end
        if value == "help" and choices[row.name] then
            state.action = { "option_help", row }
            return state
        end
        state.option = row.name
        local ok, problem = pcall(row.set, state, value)
        if not ok then
            util.fail(("--%s: %s"):format(row.name, tostring(problem)))
        end
        i = i + 1
    end
    return state
end

--- The option by which a property was given, or by which people would, for messages.
function M.option_of(state, property_name)
    local other = { cpus = "smp", epoch = "rtc", dump = "object", reboot = "no-reboot",
        shutdown = "no-shutdown" }
    local name = state.given[property_name] or other[property_name] or property_name
    local map = by_spelling()
    if property_name == "machine" or (map[name] and name ~= "set" and name ~= "machine") then
        return "--" .. name
    end
    return ("--%s %s"):format(map[name] and name or "set", property_name)
end

return M
