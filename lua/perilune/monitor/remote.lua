--- The monitor for clients on a socket, several at once, and on a character backend.
--
-- A line is executed in a callback of the loop: within a hook's budget, and it may not wait (so
-- vm:run() raises; cont and stop do well). A client that sends too long a line, or does not
-- read what it is told, loses its connection and nothing else.
local core = require "perilune.core"
local chardev = require "perilune.chardev"
local monitor = require "perilune.monitor"
local notice = require "perilune.monitor.notice"
local native = require "perilune.task_core"
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
        client.server.told[client] = nil
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

--- The text that a line and the next prompt make; print() goes there too.
local function answer(session, line)
    local printed, own = {}, print
    _G.print = function(...)
        local parts = table.pack(...)
        for i = 1, parts.n do
            parts[i] = tostring(parts[i])
        end
        printed[#printed + 1] = table.concat(parts, "\t")
    end
    local ok, text = native.bounded(session.feed, line)
    _G.print = own
    if not ok and type(text) == "table" and text.kind == "exit" then
        error(text, 0)
    elseif not ok then
        session.drop()
        text = "error: " .. tostring(text)
    end
    if text and text ~= "" then
        printed[#printed + 1] = text
    end
    printed[#printed + 1] = session.waiting() and MORE or PROMPT
    return table.concat(printed, "\n")
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
        client.executing = true
        local ok, text = notice.as(client.name, pcall, answer, client.session, (line:gsub("\r$", "")))
        client.executing = false
        if not ok then
            error(text, 0)
        end
        tell(client, text)
    end
end

--- Say unasked what becomes of the machine to all but the client that has just asked for it.
local function watch(server)
    local vm = rawget(_G, "vm")
    if type(vm) ~= "userdata" or server.watched == vm then
        return
    end
    server.watched = vm
    if server.watch then
        pcall(server.watch.remove) -- its machine may be gone
    end
    server.watch = notice.watch(vm, function(text, reason)
        for client in pairs(server.told) do
            if reason == "hook" or not client.executing then
                tell(client, ("\n%s\n%s"):format(text, client.session.waiting() and MORE or PROMPT))
            end
        end
    end)
end

local clients_made = 0 -- of all servers: they are told apart by number

local function accept(server)
    local stream = server.new()
    if not server.handle:accept(stream) then
        stream:close()
        return
    end
    server.clients = server.clients + 1
    clients_made = clients_made + 1
    local client = { stream = stream, server = server, pending = "", session = monitor.session(),
        name = "monitor client " .. clients_made }
    if server.clients > MAX_CLIENTS then
        return close(client)
    end
    server.told[client] = true
    watch(server)
    tell(client, PROMPT)
    stream:read_start(function(problem, data)
        if problem or not data then
            close(client)
        else
            received(client, data)
        end
    end)
end

local pipe_signal -- from the first server on

--- A client that leaves while it is written to: an error of that write, not the end of everything.
local function survive_leaving()
    if not pipe_signal then
        pipe_signal = uv.new_signal()
        pipe_signal:start("sigpipe", function() end)
        pipe_signal:unref()
    end
end

--- Listen at "unix:PATH" or "tcp:127.0.0.1:PORT". Returns the server: close() ends it, port is the
-- number that port 0 became.
function M.listen(spec)
    local where = chardev.short(spec, true)
    if where.type ~= "socket" or not where.server then
        util.fail(('monitor "%s" is neither unix:PATH nor tcp:127.0.0.1:PORT'):format(spec))
    elseif where.wait then
        util.fail(('monitor "%s": it serves several clients and waits for none; leave wait away')
            :format(spec))
    elseif where.reconnect or where.mux then
        util.fail(('monitor "%s": it listens; for more make a --chardev, and --monitor chardev:ID')
            :format(spec))
    end
    local fd, port = core.listen { who = "monitor", path = where.path, host = where.host,
        port = where.port, insecure = where.insecure }
    local new = where.path and function()
        return uv.new_pipe(false)
    end or uv.new_tcp
    survive_leaving()
    local server = { handle = new(), new = new, clients = 0, told = {}, port = port > 0 and port or nil }
    server.handle:open(fd)
    local stat = where.path and uv.fs_stat(where.path)
    server.handle:listen(16, function()
        accept(server)
    end)
    function server.close()
        if server.handle:is_closing() then
            return
        end
        server.handle:close()
        server.told = {}
        local now = stat and uv.fs_stat(where.path)
        if now and now.ino == stat.ino then
            uv.fs_unlink(where.path)
        end
    end
    return server
end

-- ---- on a character backend ----

local ERASE = { ["\b"] = true, ["\127"] = true }
local DROP = { ["\3"] = true, ["\21"] = true } -- Ctrl-C, Ctrl-U

--- A line editor for who has none: it shows what is typed, as a terminal in raw mode wants it.
local function typed(state, c)
    local send = state.send
    if c == "\n" and state.after_cr then
        state.after_cr = false
        return
    end
    state.after_cr = c == "\r"
    if c == "\r" or c == "\n" then
        local line = state.line
        state.line = ""
        send("\n")
        send(answer(state.session, line))
    elseif ERASE[c] then
        if state.line ~= "" then
            state.line = state.line:sub(1, (utf8.offset(state.line, -1) or #state.line) - 1)
            send("\b \b")
        end
    elseif DROP[c] then
        state.line = ""
        state.session.drop()
        send("^" .. string.char(c:byte() + 64) .. "\n" .. PROMPT)
    elseif c >= " " and #state.line < MAX_LINE then
        state.line = state.line .. c
        send(c)
    end
end

--- Serve the monitor on a chardev: one at a time, whoever is at its other end.
function M.attach(c)
    local state = { line = "", session = monitor.session() }
    function state.send(text)
        c:send((text:gsub("\n", "\r\n")))
    end
    local function begin()
        state.line = ""
        state.session.drop()
        state.send(PROMPT)
    end
    c:attach(function(text)
        for at = 1, #text do
            typed(state, text:sub(at, at))
        end
    end, function(event)
        if event == "opened" then
            begin()
        elseif event == "focused" then
            state.send("\n" .. (state.session.waiting() and MORE or PROMPT) .. state.line)
        end
    end)
    if c.connected and c.kind ~= "mux" then
        begin()
    end
end

M.reference = { { name = "perilune.monitor.remote", label = "module", of = M,
    help = "monitors on sockets and character backends",
    functions = {
        { "listen", "(address: string) → table",
            'listen at "unix:PATH" or "tcp:127.0.0.1:PORT"; close() of the result ends it' },
        { "attach", "(chardev)", "serve the monitor on a character backend" },
    } } }

return M
