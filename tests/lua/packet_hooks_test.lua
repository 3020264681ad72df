-- Packet hooks that delay, and link:send(): docs/hooks.md.
local check = require "check"

local equal, raises = check.equal, check.raises

--- Two wires in a row: what is sent into the first comes out of the second.
local function wires()
    local vm = perilune.machine("minimal", { cpus = 0 })
    local m = vm.machine
    local left, middle, right = m:hub("left"), m:hub("middle"), m:hub("right")
    local from = left:port()
    local first = m:link(from, middle:port(), "first")
    local second = m:link(middle:port(), right:port(), "second")
    local log = {}
    vm:on("packet", { link = second }, function(bytes)
        log[#log + 1] = ("%s@%d"):format(bytes:sub(15), vm.clock.virtual.now)
    end)
    local function send(text, ...)
        first:send(from, ("\0"):rep(14) .. text, ...)
    end
    local function seen()
        return table.concat(log, " ")
    end
    return vm, first, send, seen, from
end

check.case("a number delays, by the virtual clock", function()
    local vm, first, send, seen = wires()
    local h = vm:on("packet", { link = first }, function(bytes)
        local ms = tonumber(bytes:match("%d+$"))
        return ms > 0 and ms * 1000 or nil
    end)
    send "a2"
    send "b1"
    send "c0"
    equal(seen(), "c0@0")
    vm:advance(1999)
    equal(seen(), "c0@0 b1@1000")
    vm:advance(1)
    equal(seen(), "c0@0 b1@1000 a2@2000")
    equal(h.hits, 3, "hits: a frame is shown once")
    local stats = first:stats()[1]
    equal(stats.frames, 3)
    equal(stats.dropped, 0)
    vm:close()
end)

check.case("text and delay at once; hooks after the one that delays see it when it goes on", function()
    local vm, first, send, seen = wires()
    vm:on("packet", { link = first }, function(bytes)
        return bytes .. "!", 50.5
    end)
    local after = {}
    local second = vm:on("packet", { link = first }, function(bytes)
        after[#after + 1] = bytes:sub(15) .. "@" .. vm.clock.virtual.now
        return 5
    end)
    send "x"
    equal(#after, 0)
    vm:advance(1000)
    equal(after[1], "x!@50")
    equal(second.hits, 1)
    equal(seen(), "x!@55")
    vm:close()
end)

check.case("a hook removed meanwhile leaves its frames on their way", function()
    local vm, first, send, seen = wires()
    local h = vm:on("packet", { link = first }, function()
        return 10
    end)
    send "x"
    h:remove()
    vm:on("packet", { link = first }, function(bytes)
        return bytes:upper()
    end)
    vm:advance(10)
    equal(seen(), "X@10")
    vm:close()
end)

check.case("what is on its way is lost with the wire, and survives a reset", function()
    local vm, first, send, seen = wires()
    vm:on("packet", { link = first }, function()
        return 100
    end)
    send "lost"
    first.up = false
    first.up = true
    vm:advance(1000)
    equal(seen(), "")
    equal(first:stats()[1].dropped, 1)
    send "kept"
    vm:reset()
    vm:advance(100)
    equal(seen(), "kept@1100")
    send "closed with the machine"
    vm:close()
end)

check.case("duplicates, reordering, delays of one's own", function()
    local vm, first, send, seen, from = wires()
    local held
    local h = vm:on("packet", { link = first }, function(bytes, sender)
        equal(sender, from.id)
        if bytes:sub(15) == "a" then
            held = bytes
            return false
        elseif bytes:sub(15) == "b" then
            first:send(sender, held) -- goes after this one, and fires no hook
        elseif bytes:sub(15) == "twice" then
            first:send(sender, bytes)
            first:send(sender, bytes, 7)
        end
    end)
    send "a"
    send "b"
    equal(seen(), "b@0 a@0")
    send "twice"
    vm:advance(7)
    equal(seen(), "b@0 a@0 twice@0 twice@0 twice@7")
    equal(h.errors, 0)
    equal(h.hits, 3)
    send("later", 3)
    vm:advance(3)
    equal(h.hits, 4, "hits, with one sent from outside of hooks")
    vm:close()
end)

check.case("wrong delays and frames", function()
    local vm, first, send, seen, from = wires()
    local h = vm:on("packet", { link = first, on_error = "disable" }, function()
        return -1
    end)
    send "x"
    equal(h.errors, 1)
    equal(seen(), "x@0")
    raises("from 14 to", first.send, first, from, "short")
    raises("has no port", first.send, first, "nobody", ("x"):rep(60))
    raises("not negative", send, "x", -5)
    local ok, message
    for _ = 1, 300 do
        ok, message = pcall(send, ("x"):rep(65000), 5)
    end
    equal(ok, false)
    equal(tostring(message):find("are on their way", 1, true) ~= nil, true)
    vm:close()
end)

check.finish()
