-- Clusters: each sentence of docs/cluster.md, on small machines (cluster_node.lua).
local check = require "check"
local monitor = require "perilune.monitor"
local node = require "cluster_node"
local uv = require "luv"

local case, equal, raises = check.case, check.equal, check.raises

local US, MS = 1000, 1000000

local function close(lab, ...)
    lab:close()
    for _, vm in ipairs { ... } do
        vm:close()
    end
end

--- Note the virtual time and the sender of each frame at a machine's card.
local function watch(vm, log, name)
    vm:on("packet", { link = vm.net.net0.link }, function(bytes, from)
        log[#log + 1] = ("%s %s %d: node %d frame %d"):format(name, from, vm.clock.virtual.now,
            bytes:byte(15), bytes:byte(16))
    end)
end

case("hooks of two machines that pause each other do not wait for each other", function()
    local a, b = node.new(1, node.spend(1000000)), node.new(2, node.spend(1000000))
    local refused = {}
    local function pausing(other)
        local removed = other:on("exec", { at = 0x7fff0000 }, print)
        return function()
            refused[#refused + 1] = other.state == "running" and select(2, pcall(removed.remove, removed)) or nil
            other:pause("the other")
            return "stop"
        end
    end
    a:every(1000, pausing(b))
    b:every(1000, pausing(a))
    for _ = 1, 20 do
        a:resume()
        b:resume()
        a:run()
        b:run()
    end
    a:pause()
    b:pause()
    equal(a.state .. b.state, "pausedpaused")
    for _, problem in ipairs(refused) do
        equal(tostring(problem):find("must pause it first", 1, true) ~= nil, true, tostring(problem))
    end
    a:close()
    b:close()
end)

case("a hook of another machine loads no symbols into one that runs", function()
    local a, b = node.new(1, node.spend(1000000)), node.new(2, node.spend(1000000000))
    local path = os.tmpname()
    local file <close> = io.open(path, "w")
    file:write("0000000000001000 T start\n"):flush()
    local refused = {}
    a:at(1000, function()
        for _, try in ipairs { { b.load_symbols, b, path }, { b.on, b, "symbols", {}, print } } do
            refused[#refused + 1] = tostring(select(2, pcall(table.unpack(try))))
        end
        a:pause("enough")
    end)
    b:resume()
    a:run()
    b:pause("by hand")
    equal(b.pause_reason, "by hand")
    equal(#refused, 2)
    for _, problem in ipairs(refused) do
        equal(problem:find("must pause it first", 1, true) ~= nil, true, problem)
    end
    b:resume()
    b:load_symbols(path) -- the loop's thread has it pause for a moment
    equal(b:symbol("start"), 0x1000)
    equal(b.state, "running")
    os.remove(path)
    a:close()
    b:close()
end)

case("a frame arrives exactly one latency later, in virtual time", function()
    local a = node.new(1, node.spend(1000) .. node.send(1) .. node.await(0) .. node.exit(1))
    local b = node.new(2, node.await(0) .. node.spend(500) .. node.send(1) .. node.exit(2))
    local lab = perilune.cluster { a, b, latency = "100us" }
    local link = lab:link(a, b)
    local log = {}
    watch(a, log, "a")
    watch(b, log, "b")
    lab:run()
    equal(table.concat(log, "\n"), table.concat({
        "a nic0 1000: node 1 frame 0", "b net0 101000: node 1 frame 0",
        "b nic0 101502: node 2 frame 0", "a net0 201502: node 2 frame 0" }, "\n"))
    equal(lab.state, "ended")
    equal(a.exit_status, 3)
    equal(b.exit_status, 5)
    equal(lab.exit_status, 3)
    equal(#lab.exit, 2)
    equal(link:stats().frames, 2)
    equal(lab:stats().links.link0.bytes, 2 * 62)
    close(lab, a, b)
end)

--- Three nodes on a hub send each other frames in turns and all at once.
local function crowd(options)
    local codes = {
        node.spend(2000) .. node.send(2) .. node.await(3) .. node.send(6) .. node.await(9),
        node.spend(2000) .. node.send(2) .. node.await(3) .. node.spend(77777) .. node.send(5)
            .. node.await(8),
        node.await(3) .. node.send(4) .. node.await(5) .. node.send(5) .. node.await(8),
    }
    local vms = {}
    for i, code in ipairs(codes) do
        vms[i] = node.new(i, code .. node.exit(i), { ["cpu.ns_per_instruction"] = options.cost })
    end
    local lab = perilune.cluster { vms[1], vms[2], vms[3], latency = "50us",
        parallel = options.parallel }
    lab:hub { vms[1], vms[2], vms[3], name = "switch", latency = options.latency }
    for _, vm in ipairs(vms) do
        if options.load then
            vm:on("packet", { link = vm.net.net0.link }, function()
                uv.sleep(options.load[vm] or 2)
            end)
        end
        if options.stops then
            vm:on("packet", { link = vm.net.net0.link }, function()
                return "stop"
            end)
        end
    end
    local runs = 0
    while lab.state ~= "ended" do
        lab:run(options.step and lab.now + options.step or nil)
        runs = runs + 1
        assert(runs < 10000, "it does not end")
    end
    local result = {}
    for i, vm in ipairs(vms) do
        result[i] = ("%d %d %s"):format(vm.instructions, vm.clock.virtual.now, vm:ram_sha256())
    end
    close(lab, table.unpack(vms))
    return table.concat(result, "\n"), runs
end

case("the same run, whatever order or load the threads have", function()
    local expected = crowd {}
    equal(crowd {}, expected, "again")
    equal(crowd { parallel = true }, expected, "in parallel")
    equal(crowd { parallel = true, load = {} }, expected, "in parallel under load")
    equal(crowd { load = {} }, expected, "under load")
end)

case("the same run, wherever it stops on its way", function()
    local expected = crowd {}
    local steps, runs = crowd { step = 17 * US }
    equal(steps, expected, "in steps")
    equal(runs > 10, true, "steps")
    local stops
    stops, runs = crowd { stops = true }
    equal(stops, expected, "with stops")
    equal(runs > 5, true, "stops")
    stops, runs = crowd { stops = true, parallel = true }
    equal(stops, expected, "with stops in parallel")
    equal(runs > 5, true, "stops in parallel")
end)

case("the same run with slow instructions and a slow link", function()
    local expected = crowd { cost = 7, latency = "333us" }
    equal(crowd { cost = 7, latency = "333us", parallel = true, load = {} }, expected)
    equal(crowd { cost = 7, latency = "333us", step = 29 * US }, expected)
    equal(crowd { cost = 7 } ~= expected, true, "the latency makes a difference")
end)

case("what is sent at the same time arrives in the order of the machines", function()
    for _, parallel in ipairs { false, true } do
        local a = node.new(1, node.spend(1000) .. node.send(2) .. node.exit(0))
        local b = node.new(2, node.spend(1000) .. node.send(2) .. node.exit(0))
        local c = node.new(3, node.await(3) .. node.exit(0))
        local lab = perilune.cluster { c, b, a, parallel = parallel }
        lab:hub { a, b, c }
        local log = {}
        watch(c, log, "c")
        -- The first in the order is the slower one.
        b:on("packet", { link = b.net.net0.link }, function()
            uv.sleep(5)
        end)
        lab:run()
        equal(table.concat(log, "\n"), table.concat({
            "c net0 101000: node 2 frame 0", "c net0 101000: node 2 frame 1",
            "c net0 101000: node 1 frame 0", "c net0 101000: node 1 frame 1" }, "\n"))
        close(lab, a, b, c)
    end
end)

case("a pause of one pauses all: the others at the end of the quantum", function()
    local a = node.new(1, node.spin)
    local b = node.new(2, node.spin)
    local lab = perilune.cluster { a, b, latency = "10us" }
    a:on("insn", { at = 123456 }, function()
        return "stop"
    end)
    lab:run()
    equal(lab.state, "paused")
    equal(lab.pause_reason, "hook")
    equal(lab.paused_by, a)
    equal(a.instructions, 123456)
    equal(b.instructions, 130000)
    equal(b.pause_reason, "cluster")
    equal(b.cpus[1].rip, a.cpus[1].rip, "registers can be read")
    lab:run("200us")
    equal(lab.pause_reason, "until")
    equal(lab.paused_by, nil)
    equal(a.instructions, 200000)
    equal(b.instructions, 200000)
    equal(lab.now, 200 * US)
    b:resume() -- of one is of all
    lab:pause("enough")
    equal(lab.pause_reason, "enough")
    equal(a.state, "paused")
    equal(a.instructions, b.instructions)
    a:at(a.clock.virtual.now + MS, function()
        lab:pause("from a hook")
    end)
    b:run()
    equal(lab.pause_reason, "from a hook")
    equal(a.instructions, b.instructions)
    b:resume()
    b:pause("by hand")
    equal(lab.state, "paused")
    equal(lab.pause_reason, "by hand")
    equal(lab.paused_by, b)
    close(lab, a, b)
end)

case("run(f) asks at the end of every quantum", function()
    local a, b = node.new(1, node.spin), node.new(2, node.spin)
    local lab = perilune.cluster { a, b, latency = "10us" }
    local times = {}
    lab:run(function()
        times[#times + 1] = lab.now
        equal(a.cpus[1].rip, b.cpus[1].rip)
        return lab.now >= 40 * US
    end)
    equal(table.concat(times, " "), "0 10000 20000 30000 40000")
    equal(lab.pause_reason, "until")
    lab:run(function()
        error "on purpose"
    end)
    equal(lab.pause_reason, "script error")
    lab:run(function()
        lab:pause("asked to")
    end)
    equal(lab.pause_reason, "asked to")
    close(lab, a, b)
end)

case("one that ends leaves the others running", function()
    local a = node.new(1, node.spend(100) .. node.exit(1))
    local b = node.new(2, node.spend(500000) .. node.send(3) .. node.exit(2))
    local lab = perilune.cluster { a, b }
    local link = lab:link(a, b)
    lab:run()
    equal(lab.state, "ended")
    equal(a.instructions < 200, true)
    equal(b.instructions > 500000, true)
    equal(link:stats().frames, 3)
    raises("have ended", lab.run, lab)
    b:reset()
    equal(lab.state, "paused")
    equal(lab.exit_status, nil)
    close(lab, a, b)
end)

case("a reset machine rejoins, and the guest may reset itself", function()
    local a = node.new(1, node.spend(100) .. node.exit(1))
    local b = node.new(2, node.spin)
    local lab = perilune.cluster { a, b }
    lab:link(a, b)
    lab:run("1ms")
    equal(a.state, "ended")
    a:reset()
    lab:run("2ms")
    equal(a.state, "ended")
    equal(a.clock.virtual.now // US, MS // US, "it went on where the others are")
    close(lab, a, b)
    -- cmp byte [0x300000], 0; jne exit; inc byte [0x300000]; mov al, 6; out 0xcf9: a hard reset
    a = node.new(1, "\x80\x3d\0\0\x30\0\0\x75\x0f\xfe\x05\0\0\x30\0"
        .. "\xb0\x06\x66\xba\xf9\x0c\xee\xeb\xfe" .. node.exit(7))
    b = node.new(2, node.spin)
    lab = perilune.cluster { a, b }
    lab:run("500us")
    equal(a.memory:read(0x300000, 1), 1)
    equal(a.exit_status, 15)
    equal(lab.pause_reason, "until")
    equal(b.instructions, 500 * US)
    close(lab, a, b)
end)

case("idle time is skipped to the first deadline of all", function()
    local a, b = node.new(1, node.halt), node.new(2, node.halt)
    local lab = perilune.cluster { a, b }
    local log = {}
    local function note(name)
        return function(vm)
            log[#log + 1] = ("%s %d %d"):format(name, vm.clock.virtual.now, lab.now)
        end
    end
    a:at("2s", note "a")
    b:at("1s", note "b")
    a:at("3s", note "a")
    lab:run()
    equal(log[1]:match("^b 1000000000 "), "b 1000000000 ")
    equal(log[2]:match("^a 2000000000 "), "a 2000000000 ")
    equal(#log, 3)
    equal(lab.pause_reason, "deadlock")
    equal(a.clock.virtual.now, b.clock.virtual.now)
    equal(lab.quanta < 30, true, "quanta")
    lab:run("10s")
    equal(lab.pause_reason, "until")
    equal(lab.now, 10000 * MS)
    equal(b.clock.virtual.now, 10000 * MS)
    close(lab, a, b)
end)

case("machines that may not warp sleep together", function()
    local a = node.new(1, node.halt, { idle = "sleep", epoch = "0" })
    local b = node.new(2, node.halt)
    local lab = perilune.cluster { a, b }
    local fired = 0
    b:at("30ms", function()
        fired = fired + 1
    end)
    local start = uv.hrtime()
    lab:run("50ms")
    equal(uv.hrtime() - start >= 49 * MS, true, "real time that passed")
    equal(fired, 1)
    equal(lab.now, 50 * MS)
    equal(a.clock.virtual.now, b.clock.virtual.now)
    -- Nothing is due, which is no deadlock: somebody may type something.
    local timer = uv.new_timer()
    timer:start(20, 0, function()
        timer:close()
        lab:pause("timer")
    end)
    lab:run()
    equal(lab.pause_reason, "timer")
    close(lab, a, b)
    -- One with a way outside holds up all the same.
    a = node.new(1, node.halt, { nic = { "wire", "user,id=n1" } })
    b = node.new(2, node.halt)
    lab = perilune.cluster { a, b }
    start = uv.hrtime()
    lab:run("20ms")
    equal(uv.hrtime() - start >= 19 * MS, true, "real time that passed with a link outside")
    close(lab, a, b)
end)

case("links and machines may go while frames are under way", function()
    local function pair()
        local a = node.new(1, node.send(5) .. node.spend(50000) .. node.send(9) .. node.spin)
        local b = node.new(2, node.spend(1000) .. node.send(3) .. node.spin)
        local lab = perilune.cluster { a, b }
        return a, b, lab, lab:link(a, b)
    end
    local a, b, lab, link = pair()
    lab:run("30us")
    equal(link:stats().frames, 8)
    link:remove()
    raises("no link", link.stats, link)
    equal(a.net.net0.joined, nil)
    local late = lab:link(a, b, { latency = "1ms" })
    equal(a.net.net0.joined, "link1")
    lab:run("2ms")
    equal(late:stats().frames, 4)
    equal(b.net.net0.link:stats()[2].frames + b.net.net0.link:stats()[1].frames, 3 + 4)
    close(lab, a, b)

    a, b, lab, link = pair()
    lab:run("30us")
    b:close()
    equal(link:stats().dropped, 5)
    equal(#link.ports, 1)
    lab:run("300us")
    equal(#lab.members, 1)
    a:close()
    raises("no machine", lab.run, lab)
    lab:close()

    a, b, lab, link = pair()
    link.up = false
    lab:run("300us")
    equal(link:stats().dropped, 12)
    close(lab, a, b)

    -- In the middle of a delivery.
    a, b, lab, link = pair()
    b:on("packet", { link = b.net.net0.link, from = "net0" }, function()
        link:remove()
    end)
    lab:run("300us")
    equal(#lab:links(), 0)
    -- Without the cluster they are machines as any others.
    lab:close()
    raises("closed cluster", function()
        return lab.now
    end)
    a:at("1ms", function()
        return "stop"
    end)
    a:run()
    equal(a.clock.virtual.now, 1000 * US)
    a:close()
    b:close()
end)

case("machines that have run before are brought to one time", function()
    local a, b = node.new(1, node.spin), node.new(2, node.spin)
    a:at("5ms", function()
        return "stop"
    end)
    a:run()
    local lab <close> = perilune.cluster { a, b }
    equal(lab.now, 5 * MS)
    equal(b.clock.virtual.now, 5 * MS)
    lab:run("6ms")
    equal(a.instructions, 6 * MS)
    equal(b.instructions, MS)
    a:close()
    b:close()
end)

case("listings, statistics and dumps", function()
    local path = os.tmpname()
    local a = node.new(1, node.send(1) .. node.exit(0))
    local b = node.new(2, node.await(0) .. node.exit(0), { nic = "wire,dump=" .. path })
    local lab = perilune.cluster { a, b, name = "lab" }
    local link = lab:link(a.net.net0, b.net.net0, { name = "cable", latency = "2ms" })
    equal(tostring(lab), 'cluster "lab"')
    equal(tostring(link), 'cluster link "cable"')
    equal(link.latency_ns, 2 * MS)
    equal(link.ports[2], b.net.net0)
    _G.vm = a
    local text = monitor.execute "info network"
    equal(text:find("net0 (wire to cable): sent 0", 1, true) ~= nil, true, text)
    text = monitor.execute "info qtree"
    _G.vm = nil
    equal(text:find('netdev = "net0"', 1, true) ~= nil, true, text)
    lab:run()
    equal(perilune.stats(a).links["nic0-net0"].frames, 1)
    b:close()
    local file <close> = assert(io.open(path, "rb"))
    local dump = file:read "a"
    equal(#dump, 24 + 16 + 62)
    local _, ns = string.unpack("<I4I4", dump, 25)
    equal(ns, 2 * MS + 1 - 1, "arrival, in the dump")
    os.remove(path)
    close(lab, a)
end)

case("what is wrong is refused, with the reason", function()
    local a, b = node.new(1, node.spin), node.new(2, node.spin)
    local two = node.new(3, node.spin, { nic = { "wire", "wire,id=w2", "user,id=n3" } })
    local bare = node.new(4, node.spin, { nic = { "none", "wire" } })
    local still = perilune.machine("minimal", { memory = "1M", cpus = 0 })
    raises("takes a table", perilune.cluster, a)
    raises("needs a machine", perilune.cluster, {})
    raises('did you mean "latency"', perilune.cluster, { a, latncy = "1us" })
    raises("is not a time", perilune.cluster, { a, latency = "fast" })
    raises("at least 1 ns", perilune.cluster, { a, latency = 0 })
    raises("parallel must be a boolean", perilune.cluster, { a, parallel = 1 })
    raises("has no cpu", perilune.cluster, { still })
    raises("belongs to cluster", perilune.cluster, { a, a })
    local lab = perilune.cluster { a, b, two, latency = "10us" }
    raises("belongs to cluster", perilune.cluster, { a })
    raises("vm expected", lab.add, lab, 5)
    raises("no member", lab.link, lab, a, bare)
    raises("two wires or more", lab.hub, lab, { a })
    raises("named twice", lab.link, lab, a, a)
    raises("several wires", lab.link, lab, a, two)
    raises("of kind user", lab.link, lab, a, two.net.n3)
    raises("of kind nic", lab.link, lab, a, b.net.nic0)
    raises("has no wire", lab.link, lab, a, still)
    raises("less than the cluster's", lab.link, lab, a, b, { latency = "1us" })
    raises('did you mean "latency"', lab.link, lab, a, b, { latenzy = "1us" })
    raises("joins ports", lab.link, lab, a, "b")
    lab:link(a, b)
    raises("joined to \"link0\" already", lab.link, lab, a, two.net.w2)
    raises("there is a link", lab.link, lab, two.net.net0, two.net.w2, { name = "link0" })
    lab:link(two.net.net0, two.net.w2)
    raises('did you mean "now"', function()
        return lab.nov
    end)
    raises("cannot be set", function()
        lab.now = 5
    end)
    raises("is not a time", lab.run, lab, "later")
    lab:resume()
    raises("is running", lab.add, lab, bare)
    a:on("insn", { after = 100 }, function()
        lab:run()
    end)
    lab:run()
    equal(lab.pause_reason, "script error")
    close(lab, a, b, two, bare, still)
end)

case("KVM is refused, because it does not count", function()
    local ok, vm = pcall(perilune.machine, "pc", { memory = "8M", accel = "kvm", nic = "wire" })
    if not ok then
        print("     SKIPPED: no KVM here")
        return
    end
    raises("does not count", perilune.cluster, { vm })
    vm:close()
end)

node.clean()
check.finish()
