-- Character backends with real peers: sockets as server and client, the mux, limits, refusals.
local check = require "check"
local serve = require "serve"
local uv = require "luv"

local case, equal, raises = check.case, check.equal, check.raises

local vm = perilune.machine("pc", { memory = "2M", serial = { "ring", "ring" } })
vm.memory:write_bytes(0x7c00, "\xeb\xfe")
for name, value in pairs { cs = 0, cs_base = 0, rip = 0x7c00 } do
    vm.cpus[1][name] = value
end
local m = vm.machine

local function until_true(f, what)
    serve.until_true(vm, f, what)
end

local function name()
    local path = os.tmpname()
    os.remove(path)
    return path
end

local function client(path, port)
    local c = { seen = "", stream = path and uv.new_pipe(false) or uv.new_tcp() }
    local function connected()
        c.stream:read_start(function(problem, data)
            c.seen = c.seen .. (data or "")
            c.ended = c.ended or problem or not data
        end)
    end
    if path then
        c.stream:connect(path, connected)
    else
        c.stream:connect("127.0.0.1", port, connected)
    end
    function c.expect(text)
        until_true(function()
            return c.seen:find(text, 1, true)
        end, text)
        c.seen = c.seen:sub(select(2, c.seen:find(text, 1, true)) + 1)
    end
    return c
end

--- A front end that gives back what it gets, in capitals.
local function echo(c)
    local log = {}
    c:attach(function(text)
        log[#log + 1] = text
        c:send(text:upper())
    end, function(event)
        log[#log + 1] = "<" .. event .. ">"
    end)
    return log
end

case("a unix socket: one peer at a time, the next one waits", function()
    local path = name()
    local c = m:chardev { type = "socket", id = "u", path = path, server = true }
    equal(uv.fs_stat(path).mode & 511, 384, "mode")
    equal(c.filename, "disconnected:unix:" .. path .. ",server=on")
    equal(c.connected, false)
    local log = echo(c)
    c:send("nobody hears this")
    local a = client(path)
    a.stream:write("one")
    a.expect("ONE")
    equal(c.filename, "unix:" .. path .. ",server=on")
    local b = client(path)
    b.stream:write("two")
    a.stream:write("three")
    a.expect("THREE")
    equal(b.seen, "")
    a.stream:close()
    b.expect("TWO")
    equal(table.concat(log), "<opened>onethree<closed><opened>two")
    raises("in use", m.chardev, m, { type = "socket", id = "u2", path = path, server = true })
    raises("in use: remove", c.remove, c)
    b.stream:close()
    c:attach(nil)
    c:remove()
    raises("closed chardev", c.send, c, "x")
    equal(uv.fs_stat(path), nil, "the socket")
    raises('there is no chardev "u"', vm.chardev, vm, "u")
end)

case("a path left behind is taken over, anything else is not", function()
    local path = name()
    local stale = uv.spawn(uv.exepath(), { args = { "-e",
        ("perilune.machine('minimal', { chardev = 'socket,id=a,server=on,wait=off,path=%s' }); "
            .. "require 'luv'.kill(require 'luv'.os_getpid(), 'sigkill')"):format(path) } }, function()
    end)
    equal(stale ~= nil, true)
    until_true(function()
        return uv.fs_stat(path) and not uv.kill(stale:get_pid(), 0)
    end, "a socket that nobody listens at")
    m:chardev { type = "socket", id = "s", path = path, server = true }:remove()
    local file <close> = assert(io.open(path, "w"))
    raises("not a socket", m.chardev, m, { type = "socket", id = "s", path = path, server = true })
    file:close()
    os.remove(path)
    raises("107", m.chardev, m, { type = "socket", id = "s", path = ("x"):rep(200), server = true })
end)

case("a peer that goes in the middle of output, and one that does not read", function()
    local c = m:chardev { type = "socket", id = "t", host = "127.0.0.1", port = 0, server = true }
    echo(c)
    local a = client(nil, c.port)
    until_true(function()
        return c.connected
    end, "a connection")
    equal(c.peer, "127.0.0.1:" .. a.stream:getsockname().port)
    a.stream:read_stop()
    local block = ("x"):rep(100000)
    for _ = 1, 200 do
        c:send(block)
    end
    equal(c.bytes_out, 20000000)
    a.stream:close()
    until_true(function()
        return not c.connected
    end, "the end of the connection")
    local b = client(nil, c.port)
    b.stream:write("again")
    b.expect("AGAIN")
    b.stream:close()
    c:attach(nil)
    c:remove()
end)

case("a flood waits while the guest does not read, and is bounded when its sender goes", function()
    local path = name()
    local c = m:chardev { type = "socket", id = "f", path = path, server = true }
    m:device("isa-serial", { index = 2, chardev = "f" })
    local a = client(path)
    local sent = 0
    a.stream:write(("x"):rep(8 << 20), function()
        sent = sent + 1
    end)
    until_true(function()
        return c.bytes_in > 65536
    end, "input")
    until_true(function()
        return c.connected
    end, "a round")
    equal(c.bytes_in < 200000, true, "bytes taken: " .. c.bytes_in)
    equal(sent, 0, "writes done")
    a.stream:close()
    until_true(function()
        return not c.connected
    end, "the end of the connection")
    equal(c.bytes_in <= 1 << 20, true, "bytes taken: " .. c.bytes_in)
end)

case("a chardev is not removed by what it calls, nor while it is traced", function()
    local c = m:chardev { type = "ring", id = "own" }
    local problems = {}
    local function remove()
        c:attach(nil)
        problems[#problems + 1] = select(2, pcall(c.remove, c))
    end
    c:attach(remove)
    c:write("x")
    c:on_output(remove)
    c:send("x")
    c:on_output(nil)
    local traced = vm:trace("chardev.write", remove)
    c:send("x")
    traced:remove()
    equal(#problems, 3)
    for _, problem in ipairs(problems) do
        equal(tostring(problem):find("in use", 1, true) ~= nil, true, tostring(problem))
    end
    c:remove()
end)

case("reconnect", function()
    local path = name()
    raises("reconnect=SECONDS", m.chardev, m, { type = "socket", id = "r", path = path })
    local c = m:chardev { type = "socket", id = "r", path = path, reconnect = 1 }
    echo(c)
    local server, peers = uv.new_pipe(false), {}
    server:bind(path)
    server:listen(4, function()
        local peer = { stream = uv.new_pipe(false), seen = "" }
        server:accept(peer.stream)
        peer.stream:read_start(function(_, data)
            peer.seen = peer.seen .. (data or "")
        end)
        peer.stream:write("hello")
        peers[#peers + 1] = peer
    end)
    for i = 1, 2 do
        until_true(function()
            return peers[i] and peers[i].seen == "HELLO"
        end, "connection " .. i)
        peers[i].stream:close()
    end
    c:attach(nil)
    c:remove()
    server:close()
end)

case("a mux: two serial ports and a monitor on a unix socket", function()
    local path = name()
    local machine = perilune.machine("minimal", { memory = "1M", cpus = 0,
        chardev = { { "socket", id = "c0", path = path, server = true, wait = false, mux = true } },
        serial = { "chardev:c0", "chardev:c0" } })
    local seen = {}
    machine:on("serial", { chardev = "serial1" }, function(text)
        seen[#seen + 1] = text
    end)
    _G.vm = machine
    require("perilune.monitor.remote").attach(
        require("perilune.chardev").monitor_port(machine, "c0"))
    local one, two = machine:chardev("serial0"), machine:chardev("serial1")
    local a = client(path)
    a.expect("perilune> ")
    a.stream:write("abc\1c12\1cinfo status\rquux\127\127\127\127info version\r\1c")
    a.expect("info status\r\nVM status: ")
    a.expect(perilune.version)
    until_true(function()
        return one.filename == "mux:c0 (has the focus)"
    end, "the focus")
    equal(one.bytes_in, 3)
    equal(two.bytes_in, 2)
    a.stream:write("d\1\1e\1h")
    a.expect("Ctrl-a Ctrl-a")
    equal(one.bytes_in, 6)
    machine.io:write(0x2f8, 1, 0x21)
    machine.io:write(0x2f8, 1, 10)
    machine.io:write(0x3f8, 1, 0x22)
    a.expect('!\n"')
    equal(table.concat(seen, "|"), "!")
    machine.machine:device("isa-serial", { index = 2, chardev = "c0" })
    machine.io:write(0x3e8, 1, 0x23)
    a.expect("#")
    equal(machine:chardev("c0.0").attached, true)
    a.stream:close()
    _G.vm = vm
    machine:close()
    equal(uv.fs_stat(path), nil, "the socket")
end)

case("options that are wrong say what is right", function()
    local chardev = require "perilune.chardev"
    for text, words in pairs {
        ["telnet:127.0.0.1:1"] = "socat",
        ["tcp:127.0.0.1:1,server,telnet"] = "socat",
        ["unx:/x"] = 'did you mean "unix"',
        ["unix:/x,sever"] = "option=value",
        ["unix:/x,server=maybe"] = "neither on nor off",
        ["unix:/x,nowait"] = "add server=on",
        ["tcp:1"] = "HOST:PORT",
        ["file:"] = "not text",
        ["null:x"] = "takes nothing",
        ["vc"] = "no display",
    } do
        raises(words, chardev.short, text)
    end
    raises("id=NAME", chardev.parse, "null")
    raises('did you mean "server"', chardev.parse, "socket,id=a,servr=on")
    raises("given twice", chardev.parse, "null,id=a,id=b")
    local function server(host, insecure)
        m:chardev { type = "socket", id = "w", host = host, port = 0, server = true,
            insecure = insecure }:remove()
    end
    raises("insecure=on", server, "0.0.0.0")
    raises("insecure=on", server, "::")
    raises("in numbers", server, "example.org")
    raises("in full", server, nil, true)
    server("0.0.0.0", true)
    server("localhost")
    server(nil)
    local c = m:chardev { type = "null", id = "n" }
    raises("is taken", m.chardev, m, { type = "null", id = "n" })
    raises("not at a mux", c.focus, c)
end)

case("a file: replaced or appended to, and input from another", function()
    local path, input = os.tmpname(), os.tmpname()
    local file = assert(io.open(input, "w"))
    file:write(("typed"):rep(10000))
    file:close()
    local function content()
        local f <close> = assert(io.open(path))
        return f:read("a")
    end
    local c = m:chardev { type = "file", id = "o", path = path }
    c:send("old")
    c:remove()
    c = m:chardev { type = "file", id = "o", path = path, append = true }
    c:send(" new")
    c:remove()
    equal(content(), "old new")
    c = m:chardev { type = "file", id = "o", path = path, input = input }
    local got = 0
    c:attach(function(text)
        got = got + #text
    end)
    until_true(function()
        return got == 50000
    end, "all of the input")
    equal(content(), "")
    c:attach(nil)
    c:remove()
    os.remove(path)
    os.remove(input)
end)

vm:close()
check.finish()
