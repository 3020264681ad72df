--- The monitor for clients on a socket: lines in, text out, several at once.
--
-- A line is executed in a callback of the loop: within a hook's budget, and it may not wait (so
-- vm:run() raises; cont and stop do well). A client that sends too long a line, or does not
-- read what it is told, loses its connection and nothing else.
local monitor = require "perilune.monitor"
local util = require "perilune.util"
local uv = require "luv"

local M = {}

local PROMPT = "perilune> "
local MORE = ">> "
local MAX_LINE = 65536 -- bytes
local MAX_UNREAD = 4 << 20 -- bytes told and not read
local MAX_CLIENTS = 32

local function close(client)
    if not client.stream:is_closing() then
        client.stream:close()
        client.server.clients = client.server.clients - 1
    end
end

local function tell(client, text)
    if client.stream:is_closing() then
        return
    elseif client.stream:get_write_queue_size() > MAX_UNREAD then
        return close(client)
    end
    client.stream:write(text, function(problem)
        if problem then
            close(client)
        end
    end)
end

--- Execute with print() going to the client.
local function execute(client, line)
    local printed, own = {}, print
    _G.print = function(...)
        local parts = table.pack(...)
        for i = 1, parts.n do
            parts[i] = tostring(parts[i])
        end
        printed[#printed + 1] = table.concat(parts, "\t")
    end
    local ok, text = pcall(client.session.feed, line)
    _G.print = own
    if not ok then
        error(text, 0) -- a request to exit
    end
    if text and text ~= "" then
        printed[#printed + 1] = text
    end
    printed[#printed + 1] = client.session.waiting() and MORE or PROMPT
    tell(client, table.concat(printed, "\n"))
end

local function received(client, data)
    client.pending = client.pending .. data
    while not client.stream:is_closing() do
        local line, rest = client.pending:match("^([^\n]*)\n(.*)$")
        if (line and #line or #client.pending) > MAX_LINE then
            tell(client, "error: the line is too long\n")
            return close(client)
        elseif not line then
            return
        end
        client.pending = rest
        execute(client, (line:gsub("\r$", "")))
    end
end

local function accept(server)
    local stream = server.new()
    if not server.handle:accept(stream) then
        stream:close()
        return
    end
    server.clients = server.clients + 1
    local client = { stream = stream, server = server, pending = "", session = monitor.session() }
    if server.clients > MAX_CLIENTS then
        return close(client)
    end
    tell(client, PROMPT)
    stream:read_start(function(problem, data)
        if problem or not data then
            close(client)
        else
            received(client, data)
        end
    end)
end

--- A path of ours that nobody listens at any more may be taken over; nothing else is removed.
local function bind_unix(handle, path)
    local stat = uv.fs_stat(path)
    if stat and stat.type ~= "socket" then
        util.fail(("monitor unix:%s: there is something that is not a socket"):format(path))
    elseif stat then
        util.fail(("monitor unix:%s: the socket is there already; remove it if nobody uses it")
            :format(path))
    end
    local ok, problem = handle:bind(path)
    if not ok then
        util.fail(("monitor unix:%s: %s"):format(path, problem))
    end
    uv.fs_chmod(path, 384) -- 0600; nobody can connect before listen()
end

local function bind_tcp(handle, where)
    local address = where:match("^(.-),insecure=on$")
    local insecure = address ~= nil
    address = address or where
    local host, port = address:match("^%[?(.-)%]?:(%d+)$")
    port = math.tointeger(tonumber(port))
    if not port or port > 65535 then
        util.fail(('monitor tcp:%s: "%s" is not of the form ADDRESS:PORT'):format(where, address))
    end
    local loopback = host:match("^127%.%d+%.%d+%.%d+$") or host == "::1"
    if not loopback and not insecure then
        util.fail(("monitor tcp:%s: anybody who reaches that address could do anything here; use "
            .. "127.0.0.1, or add ,insecure=on"):format(where))
    end
    local ok, problem = handle:bind(host, port)
    if not ok then
        util.fail(("monitor tcp:%s: %s"):format(where, problem))
    end
end

--- Listen at "unix:PATH" or "tcp:127.0.0.1:PORT". Returns the server: close() ends it, port is the
-- number that port 0 became.
function M.listen(spec)
    local kind, where = spec:match("^(%a+):(.+)$")
    if kind ~= "unix" and kind ~= "tcp" then
        util.fail(('monitor "%s": neither unix:PATH nor tcp:127.0.0.1:PORT'):format(spec))
    end
    local new = kind == "unix" and function()
        return uv.new_pipe(false)
    end or uv.new_tcp
    local server = { handle = new(), new = new, clients = 0 }
    local bound, problem = pcall(kind == "unix" and bind_unix or bind_tcp, server.handle, where)
    local listening, why
    if bound then
        listening, why = server.handle:listen(16, function()
            accept(server)
        end)
        problem = not listening and ("monitor %s: %s"):format(spec, why) or nil
    end
    if problem then
        server.handle:close()
        if type(problem) == "string" then
            util.fail(problem)
        end
        error(problem, 0)
    end
    if kind == "tcp" then
        server.port = server.handle:getsockname().port
    end
    function server.close()
        if not server.handle:is_closing() then
            server.handle:close()
        end
    end
    return server
end

return M
