-- The monitor on sockets: several clients, garbage, limits.
local check = require "check"
local remote = require "perilune.monitor.remote"
local serve = require "serve"
local uv = require "luv"

local case, equal, raises = check.case, check.equal, check.raises

_G.vm = perilune.machine("pc", { serial = { "ring" } })
vm.memory:write_bytes(0x7c00, "\xeb\xfe")
for name, value in pairs { cs = 0, cs_base = 0, rip = 0x7c00 } do
    rawget(_G, "vm").cpus[1][name] = value
end

local function until_true(f, what)
    serve.until_true(vm, f, what)
end

local function connect(server)
    local c = { seen = "", stream = uv.new_tcp() }
    c.stream:connect("127.0.0.1", server.port, function(problem)
        c.connected = not problem
        c.stream:read_start(function(_, data)
            c.seen = c.seen .. (data or "")
            c.ended = c.ended or not data
        end)
    end)
    function c.expect(text)
        until_true(function()
            return c.seen:find(text, 1, true)
        end, text)
        c.seen = c.seen:sub(select(2, c.seen:find(text, 1, true)) + 1)
    end
    return c
end

local server = remote.listen("tcp:127.0.0.1:0")

case("two clients have sessions of their own", function()
    local a, b = connect(server), connect(server)
    a.expect("perilune> ")
    b.expect("perilune> ")
    a.stream:write("for i = 1, 2 do\n")
    a.expect(">> ")
    b.stream:write("1 + 1\r\ninfo status\n")
    b.expect("2\nperilune> ")
    b.expect("VM status: running")
    a.stream:write("print('n' .. i)\nend\n")
    a.expect("n1\nn2\nperilune> ")
    a.stream:write("vm:run()\n")
    a.expect("error: ")
    a.stream:close()
    b.stream:write("info version\n")
    b.expect(perilune.version)
    b.stream:close()
end)

case("the reset button, running and paused", function()
    local c = connect(server)
    local resets = 0
    local hook = vm:trace("vm.reset", function()
        resets = resets + 1
    end)
    c.stream:write("system_reset\n")
    until_true(function()
        return resets == 1
    end, "a reset")
    c.stream:write("stop\nvm.cpus[1].rax = 5\nsystem_reset\np $rax\nc\n")
    c.expect("0x0\n")
    equal(resets, 2)
    equal(c.seen:find("error"), nil)
    hook:remove()
    c.stream:close()
end)

case("who pauses the machine is told to the other clients", function()
    local a, b = connect(server), connect(server)
    a.expect("perilune> ")
    b.expect("perilune> ")
    a.stream:write("info status\n")
    a.expect("running\n")
    a.stream:write("stop\n1 + 1\nc\n")
    b.expect("\npaused (user) by monitor client ")
    b.expect("; c lets it run\nperilune> ")
    a.expect("2\n")
    equal(a.seen:find("paused (user)", 1, true), nil)
    a.stream:write("system_reset\n")
    b.expect("\nreset by monitor client ")
    b.expect("\nperilune> ")
    equal(a.seen:find("reset by", 1, true), nil)
    b.stream:write("h = vm:on('exec', { at = 0x7c00 }, function() return 'stop' end)\n")
    b.expect("paused by the hook on exec at ")
    a.expect("paused by the hook on exec at ")
    b.stream:write("h:remove()\nc\ninfo status\n")
    b.expect("VM status: running")
    a.stream:close()
    b.stream:close()
end)

case("a client that leaves without reading ends nothing but itself", function()
    local path = os.tmpname()
    os.remove(path)
    local local_server = remote.listen("unix:" .. path)
    local other, left = connect(server), 0
    other.expect("perilune> ")
    for _ = 1, 5 do
        local stream = uv.new_pipe(false)
        stream:connect(path, function()
            stream:write(("info mtree\n"):rep(50), function()
                stream:close()
                left = left + 1
            end)
        end)
    end
    until_true(function()
        return left == 5
    end, "all have left")
    other.stream:write("stop\nc\n'still' .. 'here'\n")
    other.expect("stillhere")
    other.stream:close()
    local_server.close()
end)

case("garbage and megabytes without a newline", function()
    local c, other = connect(server), connect(server)
    c.expect("perilune> ")
    c.stream:write("\0\xff\x01\27[A\n")
    c.expect("error: ")
    c.stream:write(("x"):rep(3000000))
    until_true(function()
        return c.ended
    end, "the end of the connection")
    c.stream:close()
    other.expect("perilune> ")
    other.stream:write("1 + 1\n")
    other.expect("2\n")
    other.stream:close()
end)

case("a unix socket is for its owner alone, and goes when it is closed", function()
    local path = os.tmpname()
    raises("not a socket", remote.listen, "unix:" .. path)
    os.remove(path)
    local s = remote.listen("unix:" .. path)
    equal(uv.fs_stat(path).mode & 511, 384, "mode")
    raises("in use", remote.listen, "unix:" .. path)
    s.close()
    equal(uv.fs_stat(path), nil, "the socket")
end)

case("nothing beyond this host by accident", function()
    raises("insecure=on", remote.listen, "tcp:0.0.0.0:0")
    raises("HOST:PORT", remote.listen, "tcp:localhost")
    raises("not available", remote.listen, "udp:1")
    raises("neither", remote.listen, "pty")
    remote.listen("tcp:0.0.0.0:0,insecure=on").close()
end)

server.close()
vm:close()
check.finish()
