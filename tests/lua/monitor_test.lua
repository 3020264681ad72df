-- The monitor without a terminal: lines in, text out; commands as functions; completion.
local check = require "check"
local lines = require "monitor_lines"
local monitor = require "perilune.monitor"
local uv = require "luv"

local case, equal, raises = check.case, check.equal, check.raises

local good, bad, contains = lines.good, lines.bad, lines.contains

local function has(list, name)
    for _, v in ipairs(list) do
        if v == name then
            return true
        end
    end
    return false
end

local function free_port()
    local socket = uv.new_tcp()
    assert(socket:bind("127.0.0.1", 0))
    local port = socket:getsockname().port
    socket:close()
    return port
end

-- `jmp .` at 0x7c00, in real mode.
local function spin(vm)
    vm.memory:write_bytes(0x7c00, "\xeb\xfe")
    local cpu = vm.cpus[1]
    cpu.cs, cpu.cs_base, cpu.rip, cpu.rax = 0, 0, 0x7c00, 0x1234
end

-- ---- without a machine ----

case("values", function()
    equal(good("1 + 1"), "2")
    equal(good("4096"), "0x1000 (4096)")
    equal(good("-1 << 63"), "0x8000000000000000 (-9223372036854775808)")
    equal(good('"a\\nb"'), '"a\\nb"')
    equal(good("1, nil, true"), "1\tnil\ttrue")
    equal(good("{ 1, { x = 2 }, [7] = 3 }"), "{ 1, { x = 2 }, [7] = 3 }")
    equal(good("= 3"), "3")
    equal(good("_ + 1"), "4")
end)

case("tables are bounded and may hold themselves", function()
    good("t = {}; t.t = t; t.n = 1")
    equal(good("t"), "{ n = 1, t = (this table again) }")
    good("t = {}; for i = 1, 1000 do t[i] = 1 end")
    contains(good("t"), "(936 more)")
    good("t = {}; do local x = t; for i = 1, 100000 do x[1] = {}; x = x[1] end end")
    contains(good("t"), "{...}")
    good("t = nil")
end)

case("errors are one message with one line of traceback", function()
    local text = monitor.execute("local function f() error('lost') end f()")
    contains(text, "error: monitor:1: lost")
    equal(select(2, text:gsub("\n", "")) <= 1, true, "lines")
    bad("x y", "error: ")
    bad("nil + 1", "attempt to perform arithmetic")
end)

case("Lua over several lines", function()
    local s = monitor.session()
    equal(s.feed("function twice(n)"), nil)
    equal(s.waiting(), true)
    equal(s.feed("  return 2 * n"), nil)
    equal(s.feed("end"), "")
    equal(s.feed("twice(4)"), "8")
    equal(s.feed("1 +"), nil)
    equal(s.feed("2"), "3")
    equal(s.feed("{ 1,"), nil)
    equal(s.feed("2 }"), "{ 1, 2 }")
    equal(s.feed("if true then"), nil)
    contains(s.feed(""), "<eof>")
    equal(s.waiting(), false)
    _G.twice = nil
end)

case("unknown words name the nearest known one", function()
    bad("inof", 'did you mean "info"?')
    bad("qom-lst /machine", 'did you mean "qom-list"?')
    bad("info regsters", 'did you mean "registers"?')
    bad("savevm", "savevm is not there yet")
    bad("info status", "there is no machine")
    raises('did you mean "info"', function()
        return monitor.commands.inf
    end)
end)

case("a command's name can be a variable", function()
    equal(good("x = 5"), "")
    equal(good("x"), "5")
    equal(good("x + 1"), "6")
    equal(good("print(1)"), "")
    _G.x = nil
    bad("x", "addr is missing; usage: x [/FORMAT] addr")
end)

case("commands of the user's own", function()
    monitor.command { name = "double", args = { { "n", "value" } }, help = "twice",
        run = function(a)
            return 2 * a.n
        end,
        show = function(n)
            return "it is " .. n
        end }
    equal(good("double 3 + 1"), "it is 8")
    equal(monitor.commands.double(5), 10)
    equal(monitor.commands.double { n = 6 }, 12)
    raises("n is missing", monitor.commands.double)
    raises("must be an integer", monitor.commands.double, "x")
    contains(good("help double"), "twice")
    raises('did you mean "help"', monitor.command, { name = "d", hepl = "" })
end)

case("help lists every command that works, and only those", function()
    local text = good("help")
    for _, name in ipairs { "info", "cont", "stop", "quit", "system_reset", "x ", "xp ", "print",
        "qom-get", "device_add", "set_link" } do
        contains(text, name)
    end
    for name in pairs(monitor.missing) do
        equal(text:find("\n" .. name, 1, true), nil, name)
    end
    for name in pairs(monitor.commands) do
        contains(good("help " .. name), "From Lua")
    end
end)

case("help of the API", function()
    for line, words in pairs {
        ["help vm:on"] = "vm:on(event: string, filter: event, f) → hook",
        ["help vm.on"] = "call f at an event",
        ["help cpu"] = ":inject(vector [, error_code])",
        ["help fault.inject"] = "perilune.fault.inject(vm, spec: fault.inject) → fault",
        ["help perilune.fault"] = ".inject(vm, spec: fault.inject) → fault",
        ["help space.read"] = "space:read(addr, size: integer)",
        ["help event"] = "see also: event.cpuid, ",
        ["help event.pio"] = 'its function: f(port: integer, value: integer, size: integer, dir: string)',
        ["help event.pio.dir"] = 'event.pio.dir: "in" or "out" or "both"',
        ["help wait_serial"] = "vm:wait_serial(text",
        ["help device.define.register"] = "bits that writing 1 clears",
        ["help machine.properties"] = "guest RAM; 512M unless given",
        ["help fault.targets"] = "register `reg` of `cpu` (0)",
        ["help describe"] = "a group of tests",
        ["help api"] = "trace_output ",
        ["help"] = "help NAME tells of a command",
    } do
        contains(good(line), words)
    end
    contains(good("help nmi"), "pulse the NMI pin of every cpu")
    contains(good("help space.read"), "\n  addr         an address")
    local text = good("help")
    equal(text:find("The machine:", 1, true) < text:find("\n  cont (c)", 1, true), true, "groups")
    bad("help vm.onn", 'did you mean "vm.on"?')
    bad("help fautl.inject", 'did you mean "fault.inject"?')
    bad("help savevm", "savevm is not there yet")
    for _, t in ipairs(require("perilune.reference").types()) do
        if t.label ~= "commands" then
            contains(good("help " .. t.name), t.help)
        end
    end
    contains(good("help double"), "twice")
    contains(good("help"), "Further:\n  double n")
end)

case("help is completed", function()
    equal(has(monitor.complete("help vm:wait_"), "help vm:wait_serial"), true)
    equal(has(monitor.complete("help vm.wait_"), "help vm.wait_serial"), true)
    equal(has(monitor.complete("help fau"), "help fault.inject"), true)
    equal(has(monitor.complete("help fault.inj"), "help fault.inject"), true)
    equal(has(monitor.complete("help event.e"), "help event.exec.at"), true)
    equal(has(monitor.complete("help qom-"), "help qom-get"), true)
    equal(has(monitor.complete("? cp"), "? cpu"), true)
    equal(#monitor.complete("help zzz"), 0)
end)

-- ---- with a machine ----

_G.vm = perilune.machine("pc", { serial = { "ring" }, nic = { "user,id=net" } })

case("info, every topic", function()
    for _, topic in ipairs(monitor.commands.info()) do
        equal(good("info " .. topic) ~= "", true, topic)
    end
    equal(good("info status"), "VM status: paused")
    equal(monitor.commands.info("status").state, "paused")
    contains(good("info mtree"), "address-space: memory")
    contains(good("info mtree -f"), "FlatView #0")
    contains(good("info qtree"), "dev: e1000")
    contains(good("info qom-tree"), "/e1000[0] (e1000)")
    contains(good("info pci"), "PCI device 8086:100e")
    contains(good("info network"), "net (user)")
    contains(good("info chardevs"), "serial0: filename=ring")
    contains(good("chardev-add socket,id=more,port=0,server=on"), "disconnected:tcp:127.0.0.1:")
    contains(good("info chardevs"), "more: filename=disconnected:tcp:127.0.0.1:")
    good("chardev-remove more")
    contains(monitor.execute("chardev-remove more"), 'no chardev "more"')
    contains(monitor.execute("chardev-remove serial0"), "in use")
    contains(monitor.execute("chardev-add socket,id=w,port=0,server=on,wait=on"), "wait=off")
    contains(good("info pci"), "Ethernet controller: PCI device 8086:100e")
    contains(good("info pci"), "IRQ 11, pin A")
    bad("info usernet", "there is: info network")
    bad("info nothing-such", "info alone lists them")
    contains(good("info registers"), "RIP=000000000000fff0 RFL=00000002 [-------] CPL=0 SMM=0")
    local cpu = rawget(_G, "vm").cpus[1]
    for mode = 1, 0, -1 do
        local state = cpu:state()
        state.events.smi.smm = mode
        cpu:set_state(state)
        contains(good("info registers"), "CPL=0 SMM=" .. mode)
    end
    cpu.rflags, cpu.xmm1 = 0x47, "\1\2" .. ("\0"):rep(13) .. "\255"
    contains(good("info registers"), "[---Z-PC]")
    contains(good("info registers"), "XMM01=ff000000000000000000000000000201")
    cpu.rflags = 2
    bad("info registers 7", "there is no cpu 7")
    equal(good("info registers"):find("YMM", 1, true), nil)
    equal(monitor.commands.info("registers")[1].values.rip, 0xfff0)
end)

case("memory", function()
    vm.memory:write_bytes(0x1000, "Hello\0\x80\xff" .. ("\x01\x02\x03\x04"):rep(2))
    equal(good("xp /2xw 0x1000"), "0000000000001000: 0x6c6c6548 0xff80006f")
    equal(good("xp 0x1000"), "0000000000001000: 0x6c6c6548")
    equal(good("xp /8xb 0x1000"),
        "0000000000001000: 0x48 0x65 0x6c 0x6c 0x6f 0x00 0x80 0xff")
    equal(good("xp /2db 0x1006"), "0000000000001006: -128 -1")
    equal(good("xp /2ub 0x1006"), "0000000000001006: 128 255")
    equal(good("xp /1ob 0x1000"), "0000000000001000: 0110")
    equal(good("xp /3c 0x1000"), "0000000000001000: 'H' 'e' 'l'")
    equal(good("xp /s 0x1000"), '0000000000001000: "Hello"')
    equal(good("xp /1xg 0x1000 + 8"), "0000000000001008: 0x0403020104030201")
    equal(good("x /1xh 0x1000"), "0000000000001000: 0x6548")
    equal(monitor.commands.xp("2xb", 0x1000)[2], 0x65)
    equal(monitor.commands.xp(0x1000).addr, 0x1000)
    vm.memory:write_bytes(0x2000, "\xeb\xfe\x90")
    contains(good("x /2i 0x2000"), "0000000000002000: jmp")
    contains(good("x /2i 0x2000"), "0000000000002002: nop")
    bad("xp /zz 0", "is none of")
    bad("xp /99999999xb 0", "at most 65536")
    bad("xp nonsense", "no variable and no symbol")
    vm.memory:write_bytes(0x1ffffffc, "end\0")
    equal(good("xp /s 0x1ffffffc"), '000000001ffffffc: "end"')
    bad("xp /2xw 0x1ffffffc", "nothing is at physical address 0x20000000")
    contains(good("xp /1xw 0xfec00000"), "00000000fec00000: ")
    bad("sum 0 -1", "must not be negative")
    equal(good("sum 0x1000 2"), ("%05d"):format((((0x48 >> 1) | (0x48 << 15)) + 0x65) & 0xffff))
end)

case("pages that are written", function()
    bad("dirty", "no dirty log is on")
    bad("dirty maybe", "neither on nor off")
    equal(good("dirty on"), "")
    vm.memory:write_bytes(0x5fff, "ab")
    vm.memory:write(0x9000, 1, vm.memory:read(0x9000, 1))
    equal(good("dirty"), "0000000000005000-0000000000006fff: 2 pages\n0000000000009000-0000000000009fff: 1 page")
    equal(#monitor.commands.dirty(), 0)
    good("dirty off")
    bad("dirty", "no dirty log is on")
end)

case("memory into a file", function()
    local path = os.tmpname()
    equal(good(('pmemsave 0x1000 5 "%s"'):format(path)), "5 bytes written")
    local file = assert(io.open(path, "rb"))
    equal(file:read("a"), "Hello")
    file:close()
    equal(monitor.commands.memsave(0x1001, 3, path), 3)
    os.remove(path)
    bad("pmemsave 0 1 /nonexistent/file", "No such file")
    bad("pmemsave 0 -1 " .. path, "must not be negative")
    os.remove(path)
end)

case("expressions and ports", function()
    equal(good("print $rip"), "0xfff0")
    equal(good("p /d 5 * (1 + 1)"), "10")
    bad("p $rflag", 'did you mean "rflags"?')
    good("o 0x70 0x0f")
    contains(good("i 0x71"), "portb[0x0071] = 0x")
    contains(good("i /h 0x70"), "portw[0x0070] = 0x")
    bad("i /g 0x70", "at most 4 bytes")
    bad("i 0x10000", "no port 0x10000")
    bad("o /w 0xfffe 0", "no port 0xfffe")
    equal(good('print "a" .. 1'), "a1")
    equal(good("p { 1, 2 }"), "{ 1, 2 }")
    bad("p /i 3", "for memory")
    bad("print", "usage: print")
end)

case("properties", function()
    equal(good("qom-get e1000 mac"), '"52:54:00:12:34:56"')
    equal(monitor.commands["qom-get"]("/machine/unattached/e1000[0]", "mac"), "52:54:00:12:34:56")
    equal(monitor.commands.qom_get("e1000", "mac"), "52:54:00:12:34:56")
    contains(good("qom-list e1000"), "mac (property)")
    bad("qom-get / mac", "there is no device '/'")
    contains(good("qom-list"), "unattached (child<container>)")
    bad("qom-get e1000 mak", 'did you mean "mac"?')
    bad("qom-get e1001[0] mac", "e1000[0]")
    bad("qom-get isa-i8259 master", "could be")
    bad("qom-set e1000 mac 52:54:00:00:00:01", "mac")
end)

case("devices and networks", function()
    good("netdev_add user,id=more")
    contains(good("device_add e1000,id=nic1,netdev=more"), "nic1")
    contains(good("info qtree"), 'id "nic1"')
    bad("device_add e1001", "e1000")
    bad("netdev_add user,id=a,hostfdw=x", 'did you mean "hostfwd"?')
    good("set_link net off")
    contains(good("info network"), "down")
    good("set_link net on")
    bad("set_link nte on", 'did you mean "net"?')
    bad("set_link net maybe", "neither on nor off")
    bad("hostfwd_add net tcp:127.0.0.1:0-:22", "host port")
    local rule = ("tcp:127.0.0.1:%d-:22"):format(free_port())
    good("hostfwd_add net " .. rule)
    good("hostfwd_remove net " .. rule:match("^(.-)%-"))
    bad("hostfwd_add nett " .. rule, 'did you mean "net"?')
    bad("hostfwd_add", "an argument is missing; usage: hostfwd_add [netdev] RULE")
    bad("hostfwd_add " .. rule, "several networks")
    bad("exit", 'did you mean "quit"?')
    good("system_powerdown")
end)

case("a machine that runs can be looked at", function()
    spin(vm)
    good("c")
    equal(vm.state, "running")
    contains(good("info registers"), "RAX=0000000000001234")
    equal(vm.state, "running", "state after info registers")
    contains(good("x /2xb 0x7c00"), "0xeb 0xfe")
    equal(good("p $rax"), "0x1234")
    good("stop")
    equal(good("info status"), "VM status: paused (user)")
    good("system_reset")
    equal(good("p $rip"), "0xfff0")
end)

case("hooks are listed", function()
    equal(#vm:hooks(), 0)
    local hook = vm:on("state", {}, function() end)
    equal(#vm:hooks(), 1)
    contains(good("info hooks"), "0 hits")
    hook:remove()
end)

case("symbols in expressions", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("0000000000002000 T guest_entry\n0000000000002010 T guest_exit\n")
    file:close()
    vm:load_symbols(path)
    os.remove(path)
    equal(good("p guest_entry + 1"), "0x2001")
    contains(good("x /1i guest_entry"), "0000000000002000")
    equal(table.concat(monitor.complete("x /4i guest_en"), "|"), "x /4i guest_entry")
end)

case("completion", function()
    equal(has(monitor.complete("inf"), "info"), true)
    equal(table.concat(monitor.complete("info sta"), "|"), "info status")
    equal(table.concat(monitor.complete("vm.cpus[1].rfl"), "|"), "vm.cpus[1].rflags")
    equal(table.concat(monitor.complete("local a = vm.memo"), "|"), "local a = vm.memory")
    equal(has(monitor.complete("vm:"), "vm:pause"), true)
    equal(table.concat(monitor.complete("p $rfl"), "|"), "p $rflags")
    equal(has(monitor.complete("qom-get "), "qom-get /machine/unattached/e1000[0]"), true)
    equal(table.concat(monitor.complete("qom-get e1000[0] ma"), "|"), "qom-get e1000[0] mac")
    equal(table.concat(monitor.complete("string.form"), "|"), "string.format")
    equal(#monitor.complete("no.such.thing."), 0)
    equal(has(monitor.complete("(((((mat"), "(((((math"), true)
end)

case("quit is a request to exit", function()
    raises("exit", monitor.execute, "quit 3")
end)

_G.vm:close()
_G.vm = nil
check.finish()
