--- Character backends as users write them: --chardev, --serial, --monitor and the properties of the
-- same names. docs/chardev.md has the manual.
--
-- A specification is a table { type =, id =, ... }, the text "KIND,id=ID,option=value", or for
-- serial ports and monitors the short text "KIND:ARGS".
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

--- The options of each kind: { name, type, help }; `key` is the name in machine:chardev {}.
local mux = { "mux", "bool", "several serial ports and a monitor share it; Ctrl-a c switches" }

M.kinds = {
    null = { help = "nowhere", mux },
    ring = { help = "the last bytes, in memory", { "size", "size", "bytes; 1M by default" }, mux },
    file = { help = "into a file",
        { "path", "string", "where to" },
        { "input-path", "string", "where input comes from; without it there is none",
            key = "input" },
        { "append", "bool", "to what is there; off by default: it is replaced" }, mux },
    stdio = { help = "the terminal, or standard input and output",
        { "signal", "bool", "Ctrl-C ends the run; on by default without mux" }, mux },
    pty = { help = "a pseudo terminal",
        { "path", "string", "a symbolic link to make to it" }, mux },
    socket = { help = "a unix socket or TCP",
        { "path", "string", "of a unix socket" },
        { "host", "string", "address; 127.0.0.1 by default" },
        { "port", "int", "TCP port; a server at 0 takes any that is free" },
        { "server", "bool", "listen; off by default: connect" },
        { "wait", "bool", "as a server: do not start before somebody is there; on by default" },
        { "nodelay", "bool", "send small packets at once; on by default" },
        { "reconnect", "int", "as a client: seconds between attempts; without it there is one" },
        { "insecure", "bool", "listen beyond this host" }, mux },
}

local aliases = { ringbuf = "ring", memory = "ring" }

--- What people know and is not there, with what to do.
local socket_hint = "use socket, with socat or nc at the other end"
local missing = {
    telnet = "the bytes on the wire would not be the guest's; use tcp: and a client such as "
        .. "socat -,raw,echo=0 TCP:...",
    websocket = socket_hint, udp = socket_hint, tn3270 = socket_hint, vc = "there is no display",
    tty = "use file with path= and input-path=", serial = "use file with path= and input-path=",
    pipe = "use file with path= and input-path= of two FIFOs",
    parallel = "there are no parallel ports", parport = "there are no parallel ports",
}

-- ---- reading ----

local function names_of(list, position)
    local names = {}
    for i, row in ipairs(list) do
        names[i] = position and row[position] or row
    end
    return names
end

local function kind_of(name, names)
    local kind = aliases[name] or name
    if missing[name] then
        util.fail(('"%s" is not available: %s'):format(name, missing[name]))
    elseif not M.kinds[kind] then
        names = names or util.sorted_keys(M.kinds)
        util.fail(util.suggest(('there is no character backend "%s"; there are %s'):format(name,
            table.concat(names, ", ")), name, names))
    end
    return kind
end

local convert = {
    bool = function(v)
        if type(v) == "boolean" then
            return v
        end
        return util.parse_bool(v), "on nor off", "neither "
    end,
    int = function(v)
        return math.tointeger(tonumber(v)), "an integer"
    end,
    size = function(v)
        return math.type(v) == "integer" and v or core.parse_size(v), "a size, such as 64K"
    end,
    string = function(v)
        return type(v) == "string" and v ~= "" and v or nil, "text"
    end,
}

--- The value of an option as machine:chardev {} takes it.
local function read_option(kind, name, given)
    if name == "telnet" or name == "websocket" then
        util.fail(("%s=on is not available: %s"):format(name, missing[name]))
    end
    for _, row in ipairs(M.kinds[kind]) do
        if row[1] == name then
            local value, wanted, is = convert[row[2]](given)
            if value == nil then
                util.fail(('%s: "%s" is %s%s'):format(name, tostring(given), is or "not ", wanted))
            end
            return row.key or name, value
        end
    end
    local names = names_of(M.kinds[kind], 1)
    util.fail(util.suggest(('%s has no option "%s"; there are %s'):format(kind, name,
        table.concat(names, ", ")), name, names))
end

--- A word without a value: "server" is server=on, "nowait" is wait=off.
local function read_word(kind, word)
    for _, row in ipairs(M.kinds[kind]) do
        if row[2] == "bool" and word == row[1] then
            return word, "on"
        elseif row[2] == "bool" and word == "no" .. row[1] then
            return row[1], "off"
        end
    end
    if word == "telnet" or word == "websocket" then
        return word, "on"
    end
    util.fail(('"%s" is not of the form option=value'):format(word))
end

local function check(spec)
    if spec.type == "file" and not spec.path then
        util.fail("file: path= is missing")
    elseif spec.type == "socket" and not spec.path and not spec.port then
        util.fail("socket: path= of a unix socket or port= is missing")
    elseif spec.wait ~= nil and not spec.server then
        util.fail("wait is for a server; add server=on, or leave it away")
    elseif spec.insecure and (spec.path or not spec.server) then
        util.fail("insecure is for a server at a TCP address; leave it away")
    end
    return spec
end

--- Options as written (text or values) → a specification.
local function read(kind, words, options)
    local spec = { type = kind }
    for _, word in ipairs(words) do
        local name, value = read_word(kind, word)
        local key, v = read_option(kind, name, value)
        spec[key] = v
    end
    for _, name in ipairs(util.sorted_keys(options)) do
        local key, v = read_option(kind, name, options[name])
        spec[key] = v
    end
    return check(spec)
end

local function single(keyed)
    local options = {}
    for name, values in pairs(keyed) do
        if #values > 1 then
            util.fail(('"%s" is given twice'):format(name))
        end
        options[name] = values[1]
    end
    return options
end

--- "KIND,id=ID,..." or a table → a specification with an id.
function M.parse(given)
    local words, options = {}, {}
    if type(given) == "table" then
        for key, value in pairs(given) do
            options[key == 1 and "type" or key] = value
        end
        words[1] = options.type
        options.type = nil
    else
        local keyed
        words, keyed = util.parse_list(given)
        options = single(keyed)
        words[1] = words[1] or options.backend
        options.backend = nil
    end
    local id = options.id
    options.id = nil
    if type(words[1]) ~= "string" then
        util.fail("a kind is missing, such as socket,id=ID,...")
    end
    local kind = kind_of(table.remove(words, 1))
    if type(id) ~= "string" or not id:match("^%a[%w._-]*$") then
        util.fail(("%s: id=NAME is missing, a letter and then letters, digits, '.', '_' or '-'")
            :format(kind))
    end
    local spec = read(kind, words, options)
    spec.id = id
    return spec
end

local function address(where)
    local host, port = where:match("^(.*):(%d+)$")
    if not host then
        util.fail(('tcp: "%s" is not of the form HOST:PORT'):format(where))
    end
    return host:match("^%[(.*)%]$") or host, port
end

--- How the rest of "KIND:REST" becomes options.
local short = {
    unix = function(rest)
        return "socket", { path = rest }
    end,
    tcp = function(rest)
        local host, port = address(rest)
        return "socket", { host = host ~= "" and host or nil, port = port }
    end,
    file = function(rest)
        return "file", { path = rest }
    end,
    pty = function(rest)
        return "pty", { path = rest ~= "" and rest or nil }
    end,
}

local short_names = { "chardev", "file", "mon", "none", "null", "pty", "ring", "stdio", "tcp",
    "unix" }

--- "KIND:ARGS[,option=value...]" → a specification without an id. { type = "none" }: nothing;
-- { use = ID }: the backend of that id; monitor = true: a monitor is there too. `listens`: sockets
-- are servers unless they say otherwise.
function M.short(given, listens)
    if type(given) == "table" then
        local copy = {}
        for key, value in pairs(given) do
            copy[key] = value
        end
        copy.id = "x" -- the caller gives it one
        return M.parse(copy)
    end
    local words, keyed = util.parse_list(given)
    local options = single(keyed)
    local first = table.remove(words, 1) or ""
    local inner = first:match("^mon:(.*)$")
    local name, rest = (inner or first):match("^([^:]*):?(.*)$")
    if name == "none" and not inner then
        return { type = "none" }
    elseif name == "chardev" then
        if rest == "" then
            util.fail("chardev: an id must follow, as in chardev:ID")
        end
        return { use = rest, monitor = inner and true }
    end
    local kind, more
    if short[name] then
        kind, more = short[name](rest)
    else
        kind, more = kind_of(name, short_names), {}
        if rest ~= "" then
            util.fail(('"%s" takes nothing after the colon'):format(name))
        end
    end
    for key, value in pairs(more) do
        options[key] = value
    end
    if kind == "socket" and listens and options.server == nil then
        options.server = true
    end
    local spec = read(kind, words, options)
    spec.monitor = inner and true
    return spec
end

-- ---- making ----

--- Errors say by which property they came about.
local function blame(property, f, ...)
    local result = table.pack(pcall(f, ...))
    if result[1] then
        return table.unpack(result, 2, result.n)
    end
    local problem = result[2]
    if type(problem) == "table" and rawget(problem, "text") then
        problem.property = property
    end
    error(problem, 0)
end

--- Make a backend. `waits` gets those that somebody must come to before the machine starts.
function M.make(m, spec, waits)
    local options = {}
    for key, value in pairs(spec) do
        options[key] = value
    end
    options.wait, options.monitor, options.nodelay = nil, nil, nil
    options.delay = spec.nodelay == false or nil
    if spec.type == "stdio" and spec.signal == nil then
        options.signal = not spec.mux
    end
    local c = m:chardev(options)
    if waits and spec.server and spec.wait ~= false then
        waits[#waits + 1] = c
    end
    return c
end

--- A front end called `id` on the backend that `spec` says; returns the id of what it attaches to,
-- nil for none.
local function front(m, id, spec, escapes, waits)
    if spec.type == "none" then
        return nil
    elseif spec.use then
        local backend = m.vm:chardev(spec.use)
        if backend.mux then
            m:chardev { type = "mux", id = id, chardev = spec.use }
            return id
        end
        return spec.use
    end
    spec.mux = spec.mux or spec.monitor or (spec.type == "stdio" and escapes) or nil
    spec.id = spec.mux and id .. "-base" or id
    M.make(m, spec, waits)
    if spec.mux then
        m:chardev { type = "mux", id = id, chardev = spec.id }
    end
    return id
end

--- Make what the properties chardev and serial ask for. Returns the serial ports, { { index,
-- chardev = id }, ... }, and the servers that are waited for.
function M.build(m, p)
    local ports, waits = {}, {}
    for _, given in ipairs(p.chardev) do
        blame("chardev", function()
            M.make(m, M.parse(given), waits)
        end)
    end
    for i, given in ipairs(p.serial) do
        local id = blame("serial", function()
            return front(m, "serial" .. i - 1, M.short(given), p.escapes, waits)
        end)
        ports[#ports + 1] = id and { index = i - 1, chardev = id } or nil
    end
    return ports, waits
end

--- Do not go on before somebody is there.
function M.wait(waits)
    for _, c in ipairs(waits) do
        if not c.connected then
            io.stderr:write(("perilune: waiting for a connection: %s\n"):format(c.filename))
            c:wait()
        end
    end
end

-- ---- monitors ----

--- A port for a monitor on the backend of that id, or the backend itself.
function M.monitor_port(vm, id)
    local backend = vm:chardev(id)
    if not backend.mux then
        return backend
    end
    local taken = {}
    for _, c in ipairs(vm:chardevs()) do
        taken[c.id] = c
    end
    local n = 0
    while taken["monitor" .. n] do
        n = n + 1
    end
    return vm.machine:chardev { type = "mux", id = "monitor" .. n, chardev = id }
end

return M
