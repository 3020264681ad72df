-- Monitor commands about parts of a machine: devices, networks and objects that come and go, interrupt
-- controllers, and the core file that readelf understands.
local check = require "check"
local lines = require "monitor_lines"
local monitor = require "perilune.monitor"

local case, equal = check.case, check.equal

local good, bad, contains = lines.good, lines.bad, lines.contains

--- Run f with the machine as the monitor's.
local function with(options, f)
    local vm <close> = perilune.machine("pc", options)
    rawset(_G, "vm", vm)
    local ok, problem = xpcall(f, debug.traceback, vm)
    rawset(_G, "vm", nil)
    if not ok then
        error(problem, 0)
    end
end

local still = { memory = "16M", cpus = 0, nic = "none" }

case("devices and networks", function()
    with(still, function(vm)
        good("netdev_add user,id=u1")
        contains(good("device_add e1000,id=n1,addr=04.0,netdev=u1"), "n1")
        bad("netdev_del u1", "used by /machine/peripheral/n1")
        bad("device_del n2", 'did you mean')
        bad("device_del PIIX3", "cannot be removed")
        local handle = vm:device("n1")
        good("device_del n1")
        equal(tostring(handle), "closed device")
        bad("netdev_del u2", 'did you mean "u1"?')
        good("netdev_del u1")
        bad("netdev_del u1", "there is no network")
        good("netdev_add user,id=u1")
        good("device_add e1000,id=n1,netdev=u1")
        good("device_del peripheral/n1")
        equal(#vm:find { type = "e1000" }, 0)
    end)
end)

case("objects", function()
    with(still, function(vm)
        local path = os.tmpname()
        good("netdev_add user,id=u1")
        bad(("object_add filter-dump,id=f0,netdev=u1,file=%s"):format(path), "not plugged in")
        good("device_add e1000,id=n1,netdev=u1")
        good(("object_add filter-dump,id=f0,netdev=u1,file=%s"):format(path))
        bad(("object_add filter-dump,id=f0,netdev=u1,file=%s"):format(path), "is taken")
        bad("object_add rng-random,id=r", "there are: filter-buffer, filter-dump")
        bad("object_add filter-dump,id=f1,netdve=u1", 'did you mean "netdev"?')
        bad("object_add filter-dump,id=f1,netdev=u1", "needs file=")
        bad("object_del f1", 'did you mean "f0"?')
        vm:links()[1]:send("u1", ("\255"):rep(60))
        vm:advance(1000000)
        good("object_del f0")
        equal(#vm.machine:dumps(), 0)
        local file <close> = assert(io.open(path, "rb"))
        equal(#file:read("a"), 24 + 16 + 60, "header and one frame")
        os.remove(path)
    end)
end)

--- With a network u1, a card n1 on it, and seen: the frames that come through, "u1:FIRST LETTER" each.
local function with_filters(f)
    with(still, function(vm)
        good("netdev_add user,id=u1")
        good("device_add e1000,id=n1,netdev=u1")
        good("chardev-add ring,id=c1")
        local link, seen = vm:links()[1], {}
        local ids = {}
        for i, port in ipairs(link.ports) do
            ids[i] = port.id
        end
        local card = ids[1] == "u1" and ids[2] or ids[1]
        local function listen()
            vm:on("packet", { link = link }, function(bytes, from)
                seen[#seen + 1] = (from == "u1" and "u1:" or "card:") .. bytes:sub(15, 15)
            end)
        end
        local function send(from, letter)
            link:send(from == "u1" and from or card, ("\255"):rep(14) .. letter:rep(46))
        end
        f(vm, send, seen, listen)
    end)
end

case("filter-buffer: frames wait for the end of the interval", function()
    with_filters(function(vm, send, seen, listen)
        bad("object_add filter-buffer,id=b,netdev=u1", "needs interval=")
        bad("object_add filter-buffer,id=b,netdev=u1,interval=0", "no number of microseconds")
        bad("object_add filter-buffer,id=b,netdev=u1,interval=5,queue=to", "none of all, rx, tx")
        bad("object_add filter-buffer,id=b,netdev=u2,interval=5", 'did you mean "u1"?')
        good("object_add filter-buffer,id=b,netdev=u1,interval=1000,queue=tx")
        bad("object_add filter-buffer,id=b,netdev=u1,interval=5", "is taken")
        listen()
        vm:advance(1000000 - vm.clock.virtual.now % 1000000 + 300000)
        send("u1", "a")
        send("card", "x") -- the other queue
        vm:advance(600000)
        send("u1", "b")
        vm:advance(99999)
        equal(table.concat(seen, " "), "card:x")
        vm:advance(1)
        equal(table.concat(seen, " "), "card:x u1:a u1:b")
        good("object_del b")
        send("u1", "c")
        equal(seen[4], "u1:c")
    end)
end)

case("filter-mirror and filter-redirector: frames to chardevs, and from one", function()
    with_filters(function(vm, send, seen, listen)
        local function frame(letter)
            return string.pack(">s4", ("\255"):rep(14) .. letter:rep(46))
        end
        bad("object_add filter-mirror,id=m,netdev=u1,outdev=c2", 'did you mean "c1"?')
        bad("object_add filter-redirector,id=m,netdev=u1", "one of indev and outdev")
        good("object_add filter-mirror,id=m,netdev=u1,outdev=c1,queue=rx")
        listen()
        send("u1", "a")
        send("card", "b")
        equal(vm:chardev("c1"):read(), frame "b")
        equal(table.concat(seen, " "), "u1:a card:b")
        good("object_del m")
        good("chardev-add ring,id=c2")
        good("chardev-add ring,id=c3")
        good("object_add filter-redirector,id=r,netdev=u1,indev=c3,outdev=c2,queue=tx")
        bad("object_add filter-redirector,id=s,netdev=u1,indev=c3", "another front end")
        send("u1", "c")
        equal(#seen, 3, "by the hook before the filter")
        listen()
        send("u1", "c")
        equal(#seen, 4, "behind it there is nothing")
        equal(vm:chardev("c2"):read(), frame "c" .. frame "c")
        local text = frame "d" .. frame "e"
        vm:chardev("c3"):write(text:sub(1, 70)) -- in pieces
        vm:chardev("c3"):write(text:sub(71))
        vm:advance(1000)
        equal(vm:chardev("c2"):read(), frame "c" .. frame "c")
        equal(table.concat(seen, " ", 5), "u1:d u1:d u1:e u1:e", "what comes in is sent by the network, to both hooks")
        good("object_del r")
        equal(vm:chardev("c3").attached, false)
    end)
end)

case("objects that are not here", function()
    with(still, function()
        bad("object_add filter-replay,id=r", "link:send() sends them again")
        bad("object_add iothread,id=t", "by themselves")
        bad("object_add secret,id=s", "nothing is encrypted")
        bad("object_add filter-bufer,id=s", 'did you mean "filter-buffer"?')
    end)
end)

case("properties by any end of a path", function()
    with(still, function(vm)
        good("device_add e1000,id=n1")
        equal(good("qom-get /machine/peripheral/n1 mitigation"), "true")
        equal(good("qom-get peripheral/n1 mitigation"), "true")
        bad("qom-set n1 mac 52:54:00:00:00:01", "construct-only")
        bad("qom-set isa-i8259 iobase 1", "could be")
        equal(vm:device("e1000").id, "n1")
    end)
end)

case("interrupt controllers", function()
    with({ memory = "16M", cpus = 1, nic = "none", accel = "soft" }, function(vm)
        -- The master: vectors from 0x20, all but line 3 masked.
        for _, v in ipairs { 0x11, 0x20, 4, 1 } do
            vm.io:write(v == 0x11 and 0x20 or 0x21, 1, v)
        end
        vm.io:write(0x21, 1, 0xf7)
        vm:device("irq-splitter"):gpio_in(3):pulse()
        local pic = monitor.commands.info("pic")
        equal(pic[1].base, 0x20)
        equal(pic[1].imr, 0xf7)
        equal(pic[1].irr & 8, 8, "latched")
        equal(#pic[3].pins, 24)
        contains(good("info pic"), "pic0: irr=08 imr=f7 isr=00 hprio=0 irq_base=20")
        contains(good("info pic"), "pin 3 ")
        contains(good("info irq"), "IRQ statistics for isa-i8259 ")
        contains(good("info irq"), " 3: 1\n")
        local lapic = monitor.commands.info("lapic", "0")[1]
        equal(lapic.id, 0)
        contains(good("info lapic"), "dumping local APIC state for CPU 0")
        bad("info lapic 7", "no local APIC of cpu 7")
        equal(good("info block"), "there are no block devices")
        equal(good("info snapshots"), "there are no snapshots")
    end)
end)

local function output(command)
    local pipe = assert(io.popen(command .. " 2>&1"))
    local text = pipe:read("a")
    pipe:close()
    return text
end

case("a core file", function()
    with({ memory = "16M", cpus = 1, nic = "none", accel = "soft" }, function(vm)
        local path = os.tmpname()
        vm.memory:write_bytes(0x345678, "perilune core")
        local cpu = vm.cpus[1]
        cpu.rbx, cpu.rip, cpu.mxcsr = 0x1122334455667788, 0x7c00, 0x1fa0
        cpu.st0, cpu.xmm9 = string.pack("<I8I2", 3 << 62, 0xbfff), "\x0b\x0a" .. ("\0"):rep(13) .. "\x10"
        local data = monitor.commands.dump_guest_memory(path)
        equal(data.segments[1].start, 0)
        local file = assert(io.open(path, "rb"))
        equal(file:seek("end"), data.bytes, "bytes written")
        -- The first PT_LOAD, and the last: RAM below and above the place of a display.
        for n, start in pairs { [1] = 0, [#data.segments] = 0xc0000 } do
            file:seek("set", 64 + 56 * n)
            local kind, _, offset, _, addr = string.unpack("<I4I4I8I8I8", file:read(56))
            equal(kind, 1)
            equal(addr, start)
            file:seek("set", offset + 0x345678 - start)
            equal(file:read(13) == "perilune core", start > 0)
        end
        file:close()
        local headers = output("LC_ALL=C readelf -lhn " .. path)
        if headers:find("not found", 1, true) then
            print("not done, because readelf is not there: looking at the core file with it")
        else
            contains(headers, "CORE (Core file)")
            contains(headers, "X86-64")
            contains(headers, "NT_PRSTATUS")
            equal(headers:find("Warning", 1, true), nil, headers)
            equal(headers:find("Error", 1, true), nil, headers)
        end
        local gdb = output("gdb -nx -batch -ex 'p/x $rbx' -ex 'p/x $pc' -ex 'x/s 0x345678' -ex 'p $st0' "
            .. "-ex 'p/x $xmm9.uint128' -ex 'info registers mxcsr' -c " .. path)
        if gdb:find("not found", 1, true) then
            print("not done, because gdb is not there: looking at the core file with it")
        else
            contains(gdb, "0x1122334455667788")
            contains(gdb, "perilune core")
            contains(gdb, "= -1.5\n")
            contains(gdb, "= 0x10" .. ("0"):rep(26) .. "0a0b")
            contains(gdb, "0x1fa0 ")
        end
        os.remove(path)
        bad("dump-guest-memory /nonexistent/core", "/nonexistent/core")
    end)
end)

case("YMM registers, on a screen and in a core file", function()
    with({ memory = "16M", cpus = 1, nic = "none", accel = "soft", cpu = "max" }, function(vm)
        local path = os.tmpname()
        vm.cpus[1].ymm9 = "\x0b" .. ("\0"):rep(15) .. "\x0a" .. ("\0"):rep(14) .. "\x10"
        local upper, lower = "10" .. ("0"):rep(28) .. "0a", ("0"):rep(30) .. "0b"
        contains(good("info registers"), "YMM09=" .. upper .. lower .. "\n")
        equal(good("info registers"):find("XMM", 1, true), nil)
        equal(monitor.commands.info("registers")[1].values.ymm9, vm.cpus[1].ymm9)
        good("dump-guest-memory " .. path)
        local gdb = output("gdb -nx -batch -ex 'p/x $ymm9.v2_int128' -ex 'p/x $xmm9.uint128' -c " .. path)
        if gdb:find("not found", 1, true) then
            print("not done, because gdb is not there: looking at the core file with it")
        else
            contains(gdb, "{0xb, 0x" .. upper .. "}")
            contains(gdb, "= 0xb\n")
        end
        os.remove(path)
    end)
end)

check.finish()
