--- Machine definitions: declaring them, finding them, and building machines from them.
--
-- machine.define { name, desc, extends, props, build, post, nic } declares one; docs/machine.md
-- shows how. `build(m, p, super)` puts the parts together, `post(m, p, super)` does at every reset
-- what firmware would do.
local core = require "perilune.core"
local uv = require "luv"
local accel = require "perilune.accel"
local chardevs = require "perilune.chardev"
local net = require "perilune.net"
local props = require "perilune.props"
local util = require "perilune.util"

local M = {}

local Definition = {}
Definition.__index = Definition
Definition.__name = "machine definition"

--- 2026-01-01 00:00:00 UTC: the time of day at which machines start whose runs are to be repeated.
local FIXED_EPOCH = 1767225600

--- What every machine has.
M.common_props = {
    memory = { "size", "512M", help = "guest RAM" },
    cpus = { "int", 1, min = 0, max = 16, help = "number of cpus, or none" },
    cpu = { "string", "base", help = "cpu model and features: base, host or max, then ,+NAME ,-NAME" },
    accel = { "enum", "soft", values = { "auto", "soft", "kvm" },
        help = "what executes guest code; auto tries KVM out and says what it chose" },
    idle = { "enum", "sleep", values = { "sleep", "warp" },
        help = "an idle machine waits in real time, or skips to its next timer" },
    kernel = { "string", help = "kernel or program: bzImage, vmlinux, multiboot or plain ELF" },
    initrd = { "string", help = "initial RAM disk" },
    append = { "string", "", help = "kernel command line" },
    serial = { "list", { "null" }, help = "serial ports: chardev:ID, stdio, pty, null, none, ring, "
        .. "file:PATH, unix:PATH, tcp:HOST:PORT" },
    chardev = { "list", {}, help = "character backends: KIND,id=ID, for serial ports and devices" },
    nic = { "list", { "none" },
        help = "network cards: none, user or wire with mac=, hostfwd=, model=, dump=" },
    netdev = { "list", {}, help = "network backends, for devices that name them" },
    device = { "list", {}, help = "further devices" },
    dump = { "list", {}, help = "packet dumps: netdev=ID,file=PATH" },
    epoch = { "string", "", help = "time of day at the start: now, a date, or seconds since 1970; "
        .. "default now, with idle=warp 2026-01-01" },
    seed = { "int", 1, help = "where randomness given to the guest starts" },
    reboot = { "bool", true, help = "a reset starts again; off: it ends the run" },
    shutdown = { "bool", true, help = "powering off ends the run; off: it pauses" },
    escapes = { "bool", false, help = "Ctrl-a x, Ctrl-a c and Ctrl-a h on a serial port at stdio" },
    ["boot.decompress"] = { "enum", "auto", values = { "auto", "host", "guest" },
        help = "who unpacks a compressed kernel" },
    ["cpu.ns_per_instruction"] = { "int", 1, min = 1, max = 1000000,
        help = "virtual time that an instruction of the software cpu takes" },
    trace = { "list", {}, help = "events as lines: PATTERN,...[,file=PATH][,format=json]" },
    ["stats.ram_hash"] = { "bool", false, help = "put SHA-256 of all RAM into the statistics" },
}

local common_place = "perilune"

-- ---- definitions ----

--- Keys of machine.define: name, type, help.
local definition_keys = {
    { "name", "string", "the machine's name" },
    { "desc", "string", "a line about it" },
    { "extends", "string or machine_definition", "whose properties and steps it inherits" },
    { "props", "{ [name] = table }",
        "properties: { type, default, help =, min =, max =, values = }" },
    { "build", "function(machine, properties, super: f)", "put the parts together" },
    { "post", "function(machine, properties, super: f) → table",
        "at every reset what firmware would do; may return { rsdp =, e820 = }" },
    { "nic", "function(machine, properties, nic: table, n, super: f)", "a place for a network card" },
}

local definition_key_names = {}
for i, row in ipairs(definition_keys) do
    definition_key_names[i] = row[1]
end

local loading -- the file that is being loaded, for messages

--- "file:line" of the call of machine.define. `return machine.define { ... }` is a tail call, which
-- leaves no trace of its line: then it is looked up in the file.
local function place_of_definition()
    local info = debug.getinfo(3, "Sl")
    if not debug.getinfo(2, "t").istailcall and info.currentline > 0 then
        return ("%s:%d"):format(info.short_src, info.currentline)
    end
    local number = 0
    for line in io.lines(loading or "/dev/null") do
        number = number + 1
        if line:find("machine.define", 1, true) then
            return ("%s:%d"):format(loading, number)
        end
    end
    return loading or "(a definition)"
end

--- Declare a machine. Returns its definition, which is what a definition file returns.
function M.define(spec)
    local where = place_of_definition()
    local function wrong(text)
        util.fail(("%s: %s"):format(where, text))
    end
    if type(spec) ~= "table" then
        wrong("machine.define takes a table")
    end
    for _, key in ipairs(util.sorted_keys(spec)) do
        local known = false
        for _, name in ipairs(definition_key_names) do
            known = known or name == key
        end
        if not known then
            wrong(util.suggest(('unknown key "%s"'):format(key), key, definition_key_names))
        end
    end
    if type(spec.name) ~= "string" then
        wrong("a machine needs a name")
    end
    for _, key in ipairs { "build", "post", "nic" } do
        if spec[key] ~= nil and type(spec[key]) ~= "function" then
            wrong(("%s must be a function, not a %s"):format(key, type(spec[key])))
        end
    end
    if not spec.build and not spec.extends then
        wrong(('machine "%s" needs a build function, or a machine that it extends')
            :format(spec.name))
    end
    local own = spec.props or {}
    for _, name in ipairs(util.sorted_keys(own)) do
        props.check_row(name, own[name], where)
    end
    local parent = spec.extends and M.load(spec.extends)
    local rows, places = {}, {}
    local function merge(from, place)
        for name, row in pairs(from) do
            rows[name] = row
            places[name] = type(place) == "table" and place[name] or place
        end
    end
    merge(parent and parent.props or M.common_props, parent and parent.places or common_place)
    merge(own, where)
    return setmetatable({
        name = spec.name,
        desc = spec.desc or "",
        where = where,
        parent = parent,
        props = rows,
        places = places,
        spec = spec,
    }, Definition)
end

--- Run a step of a definition; its last argument runs the parent's. Returns the step's result, and
-- whether there was one to run.
local function step(def, name, ...)
    while def and not def.spec[name] do
        def = def.parent
    end
    if not def then
        return nil, false
    end
    local args = table.pack(...)
    args[args.n + 1] = function()
        return (step(def.parent, name, table.unpack(args, 1, args.n)))
    end
    return def.spec[name](table.unpack(args, 1, args.n + 1)), true
end

-- ---- finding ----

local function user_dirs()
    local dirs = {}
    for dir in (core.user_path or ""):gmatch("[^:]+") do
        dirs[#dirs + 1] = dir
    end
    return dirs
end

--- { name = path } of the definitions in the directories called machines; the first in the path of
-- search wins.
function M.available()
    local found = {}
    for _, list in ipairs { user_dirs(), core.dirs } do
        for _, dir in ipairs(list) do
            for _, file in ipairs(util.list_dir(dir .. "/machines")) do
                local name = file:match("^([%w_-]+)%.lua$")
                if name and not found[name] then
                    found[name] = dir .. "/machines/" .. file
                end
            end
        end
    end
    return found
end

local function find(name)
    if name:find("/", 1, true) or name:match("%.lua$") then
        if not util.file_exists(name) then
            util.fail(('there is no machine definition "%s"'):format(name),
                { property = "machine" })
        end
        return name
    end
    for _, dir in ipairs(user_dirs()) do
        local path = ("%s/%s.lua"):format(dir, name)
        if util.file_exists(path) then
            return path
        end
    end
    local found = M.available()
    if not found[name] then
        local names = util.sorted_keys(found)
        util.fail(util.suggest(('there is no machine "%s" (there are: %s)'):format(name,
            table.concat(names, ", ")), name, names), { property = "machine" })
    end
    return found[name]
end

--- The definition by name or file, or as it is.
function M.load(name)
    if getmetatable(name) == Definition then
        return name
    end
    if type(name) ~= "string" then
        util.fail(("a machine is named by a string, not by a %s"):format(type(name)))
    end
    local path = find(name)
    local chunk, problem = util.load_file(path)
    if not chunk then
        util.fail(problem, { property = "machine" })
    end
    local outer = loading
    loading = path
    local ok, def = xpcall(chunk, function(e)
        return type(e) == "string" and debug.traceback(e, 2) or e
    end)
    loading = outer
    if not ok then
        error(def, 0)
    end
    if getmetatable(def) ~= Definition then
        util.fail(("%s: a machine definition ends with: return machine.define { ... }")
            :format(path),
            { property = "machine" })
    end
    return def
end

-- ---- properties ----

--- { boot = { decompress = ... } } is the same as { ["boot.decompress"] = ... }.
local function flatten(def, options, prefix, into)
    for key, value in pairs(options) do
        local name = prefix .. tostring(key)
        local row = def.props[name]
        if type(value) == "table" and not row and getmetatable(value) == nil then
            flatten(def, value, name .. ".", into)
        else
            into[name] = value
        end
    end
    return into
end

--- The values of all properties, from defaults and what the user gave; raises for what is wrong.
function M.resolve(def, options)
    local given = flatten(def, options or {}, "", {})
    local values = {}
    for _, name in ipairs(util.sorted_keys(given)) do
        if not def.props[name] then
            local text = ('machine "%s" has no property "%s"'):format(def.name, name)
            util.fail(util.suggest(text, name, util.sorted_keys(def.props)), { property = name })
        end
    end
    for _, name in ipairs(util.sorted_keys(def.props)) do
        local row = def.props[name]
        local v = given[name]
        if v == nil then
            v = row[2]
        end
        if v ~= nil then
            values[name] = props.value(def.name, name, row, v)
        end
    end
    return values
end

local function check_memory(def, p)
    local function wrong(text)
        util.fail(('machine "%s": property "memory": %s'):format(def.name, text),
            { property = "memory", problem = text })
    end
    if p.memory <= 0 then
        wrong("a machine needs RAM; write for example 512M")
    elseif p.memory % 4096 ~= 0 then
        wrong(("%d bytes is not a multiple of 4K"):format(p.memory))
    end
    local host = math.tointeger(uv.get_total_memory()) or 0
    if host > 0 and p.memory > host then
        wrong(("%d MiB is more than the %d MiB that this host has"):format(p.memory >> 20,
            host >> 20))
    end
end

--- Seconds since 1970 of "2026-01-31", "2026-01-31T12:00:00" (UTC).
local function parse_date(text)
    local y, mo, d, rest = text:match("^(%d%d%d%d)-(%d%d)-(%d%d)(.*)$")
    if not y then
        return nil
    end
    local h, mi, s = 0, 0, 0
    if rest ~= "" then
        h, mi, s = rest:match("^[T ](%d%d):(%d%d):(%d%d)$")
        if not h then
            return nil
        end
    end
    y, mo, d = math.tointeger(y), math.tointeger(mo), math.tointeger(d)
    h, mi, s = math.tointeger(h), math.tointeger(mi), math.tointeger(s)
    if mo < 1 or mo > 12 or d < 1 or d > 31 or h > 23 or mi > 59 or s > 60 then
        return nil
    end
    -- Days since 1970 by counting years from March, so that the leap day is the last of the year.
    local years = mo <= 2 and y - 1 or y
    local month = (mo + 9) % 12
    local days = 365 * years + years // 4 - years // 100 + years // 400
        + (153 * month + 2) // 5 + d - 1 - 719468
    return days * 86400 + h * 3600 + mi * 60 + s
end

local function epoch_ns(def, p)
    if p.epoch == "" then
        return p.idle == "warp" and FIXED_EPOCH * 1000000000 or nil
    elseif p.epoch == "now" or p.epoch == "utc" then
        return nil
    end
    local seconds = math.tointeger(tonumber(p.epoch)) or parse_date(p.epoch)
    if not seconds then
        util.fail(('machine "%s": property "epoch": "%s" is not a date such as 2026-01-31T12:00:00')
            :format(def.name, p.epoch), { property = "epoch" })
    end
    return seconds * 1000000000
end

-- ---- building ----

--- 32 bytes for the guest's random number generator, the same for the same seed: SplitMix64
-- (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
local function seed_bytes(seed)
    local words = {}
    for i = 1, 4 do
        local z = seed + i * 0x9e3779b97f4a7c15
        z = (z ~ z >> 30) * 0xbf58476d1ce4e5b9
        z = (z ~ z >> 27) * 0x94d049bb133111eb
        words[i] = z ~ z >> 31
    end
    return string.pack("<i8i8i8i8", table.unpack(words))
end

--- What happens at every reset: the definition's post step, which may say where its tables are and
-- what the memory map is, then the kernel.
local function boot(def, m, p)
    local found = step(def, "post", m, p) or {}
    if p.kernel then
        m:load_boot {
            kernel = p.kernel,
            initrd = p.initrd,
            append = p.append,
            decompress = p["boot.decompress"],
            seed = seed_bytes(p.seed),
            rsdp = found.rsdp,
            e820 = found.e820,
        }
    end
end

--- The values of a machine's properties, by vm.
M.properties = setmetatable({}, { __mode = "k" })

--- What is wrong with the model is the property's.
local function add_cpu(def, m, p)
    local ok, problem = pcall(m.cpu, m, p.cpu)
    local text = not ok and tostring(problem):match("^cpu: (.*)")
    if text then
        util.fail(('machine "%s": property "cpu": %s'):format(def.name, text),
            { property = "cpu", problem = text })
    elseif not ok then
        error(problem, 0)
    end
end

local function build(def, m, p, vm)
    for _, spec in ipairs(p.trace) do
        require("perilune.trace").apply(vm, spec)
    end
    local waits
    p.serials, waits = chardevs.build(m, p)
    for _ = 1, p.cpus do
        add_cpu(def, m, p)
    end
    p.irqchip = p.irqchip and vm.irqchip -- what "auto" has become
    step(def, "build", m, p)
    net.build(def, m, p, function(nic, index)
        local _, has_place = step(def, "nic", m, p, nic, index)
        if not has_place then
            util.fail(('machine "%s" has no place for a network card'):format(def.name),
                { property = "nic" })
        end
    end)
    vm:on_reset(function()
        boot(def, m, p)
    end)
    vm:reset()
    chardevs.wait(waits)
end

--- Make the machine `name` (a name, a file or a definition) with these properties. Returns its vm,
-- reset and ready to run; raises for a wrong property or part, and then nothing is left behind.
function M.create(name, options)
    local def = M.load(name)
    local p = M.resolve(def, options)
    check_memory(def, p)
    local vm, m = core.new_vm {
        name = def.name,
        accel = accel.resolve(p),
        irqchip = p.irqchip,
        idle = p.idle,
        ns_per_instruction = p["cpu.ns_per_instruction"],
        epoch_ns = epoch_ns(def, p),
        seed = p.seed,
        no_reboot = not p.reboot,
        no_shutdown = not p.shutdown,
    }
    local ok, problem = xpcall(build, function(e)
        return type(e) == "string" and debug.traceback(e, 2) or e
    end, def, m, p, vm)
    if not ok then
        vm:close()
        error(problem, 0)
    end
    M.properties[vm] = p
    return vm
end

-- ---- reference ----

--- Properties as a table of the reference.
local function property_reference(name, help, rows)
    local keys = {}
    for i, key in ipairs(util.sorted_keys(rows)) do
        local row = rows[key]
        local default = props.show_default(row)
        keys[i] = { key, props.signature(row),
            row.help .. (default ~= "" and ("; %s unless given"):format(default) or "") }
    end
    return { name = name, label = "table", help = help, keys = keys }
end

function M.reference()
    return {
        { name = "perilune.machine", label = "module", of = M,
            help = "definitions of machines; the global variable machine too",
            internal = { "resolve", "properties", "common_props" },
            functions = {
                { "define", "(spec: machine.define) → machine_definition",
                    "declare a machine; raises with file and line for what is wrong" },
                { "create", "(machine: string or machine_definition [, options: machine.properties]) → vm",
                    "perilune.machine: make a machine, reset and ready to run" },
                { "load", "(machine: string or machine_definition) → machine_definition",
                    "the definition of a name or a file" },
                { "available", "() → { [name] = path }", "definitions on the path of search" },
            } },
        { name = "machine_definition", label = "table", help = "what machine.define() returns",
            properties = {
                { "name", "string", "its name" },
                { "desc", "string", "a line about it" },
                { "where", "string", "file and line" },
                { "parent", "machine_definition or nil", "what it extends; nil: nothing" },
                { "props", "{ [name] = table }", "rows of its properties, inherited ones too" },
            } },
        { name = "machine.define", label = "table", help = "what machine.define takes",
            keys = definition_keys },
        property_reference("machine.properties", "properties that every machine has",
            M.common_props),
    }
end

return M
