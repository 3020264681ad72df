-- Events: vm:trace(), outputs, the property "trace", the monitor's commands; see docs/tracing.md.
local check = require "check"
local monitor = require "perilune.monitor"
local uv = require "luv"

local equal, raises = check.equal, check.raises

local function board(options)
    options = options or {}
    options.cpus = 0
    options.serial = options.serial or "ring"
    return perilune.machine("pc", options)
end

local function read_file(path)
    local file = assert(io.open(path))
    local text = file:read("a")
    file:close()
    return text
end

local dir = uv.fs_mkdtemp("/tmp/perilune-trace-XXXXXX")

local SERIAL = "/machine/unattached/isa-serial[0]"

check.case("a function hears of a device's events, with source and arguments", function()
    local vm = board()
    local seen = {}
    local h = vm:trace("serial.*", function(...)
        seen[#seen + 1] = table.concat(table.pack(...), " ", 1, 3)
        equal(select("#", ...), 4)
        equal(select(2, ...), SERIAL)
    end)
    vm.io:write(0x3fb, 1, 0x80)
    vm.io:write(0x3f8, 1, 1)
    vm.io:write(0x3fb, 1, 3)
    vm.io:write(0x3f8, 1, 0x41)
    equal(table.concat(seen, "\n"), "serial.divisor " .. SERIAL .. " 1\nserial.tx " .. SERIAL
        .. " 65")
    equal(h.hits, 2)
    equal(h.event, "trace")
    h:remove()
    h:remove()
    vm.io:write(0x3f8, 1, 0x42)
    equal(h.hits, 2)
    equal(next(vm:traced()), nil)
    vm:close()
end)

check.case("registers of the e1000 have names", function()
    local vm = board { nic = "user" }
    local card = vm:find { type = "e1000" }[1]
    local bar
    vm:trace("pci.bar_map", function(_, source, n, io, addr)
        if source == card.path and n == 0 and not io then
            bar = addr
        end
    end)
    vm:reset()
    local seen = {}
    vm:trace("e1000.reg_*", function(event, source, reg, offset, value)
        seen[#seen + 1] = ("%s %s %x %x"):format(event, reg, offset, value)
        equal(source, card.path)
    end)
    vm.memory:write(bar, 4, 0x40)
    equal(vm.memory:read(bar + 0xd0, 4), 0)
    vm.memory:read(bar + 8, 4)
    equal(seen[1], "e1000.reg_write CTRL 0 40")
    equal(seen[2], "e1000.reg_read IMS d0 0")
    equal(seen[3]:match("^e1000.reg_read %S+ %S+"), "e1000.reg_read STATUS 8")
    vm:close()
end)

check.case("several machines do not hear of one another", function()
    local one, two = board(), board()
    local heard = 0
    one:trace("*", function()
        heard = heard + 1
    end)
    two.io:write(0x3f8, 1, 0x41)
    equal(heard, 0)
    one.io:write(0x3f8, 1, 0x41)
    equal(heard > 0, true)
    one:close()
    equal(next(two:traced()), nil)
    two:close()
end)

check.case("what a function does itself fires nothing for functions", function()
    local vm = board()
    local depth, most, calls = 0, 0, 0
    vm:trace("serial.tx", function()
        depth, calls = depth + 1, calls + 1
        most = math.max(most, depth)
        vm.io:write(0x3f8, 1, 0x42)
        depth = depth - 1
    end)
    vm.io:write(0x3f8, 1, 0x41)
    equal(calls, 1)
    equal(most, 1)
    vm:close()
end)

check.case("an error is reported once and follows the policy", function()
    local vm = board()
    local h = vm:trace("serial.tx", function()
        error("as meant")
    end, { on_error = "disable", name = "failing" })
    vm.io:write(0x3f8, 1, 0x41)
    vm.io:write(0x3f8, 1, 0x41)
    equal(h.errors, 1)
    equal(h.hits, 1)
    vm:close()
end)

check.case("a function may remove itself and add others", function()
    local vm = board()
    local later, h = 0, nil
    h = vm:trace("serial.tx", function()
        h:remove()
        vm:trace("serial.tx", function()
            later = later + 1
        end)
    end)
    for _ = 1, 3 do
        vm.io:write(0x3f8, 1, 0x41)
    end
    equal(h.hits, 1)
    equal(later, 2)
    vm:close()
end)

check.case("hooks are events too", function()
    local vm = board()
    local heard = {}
    vm:on("pio", { port = 0x3f8, dir = "out", name = "mine" }, function() end)
    vm:trace("vm.hook", function(_, _, on, name)
        heard[#heard + 1] = on .. " " .. name
    end)
    vm.io:write(0x3f8, 1, 0x41)
    equal(heard[1], "pio mine")
    vm:close()
end)

check.case("wrong patterns and options say what would be right", function()
    local vm = board()
    local function f() end
    raises('there is no event "e1000.tx_fram"; did you mean "e1000.tx_frame"?', vm.trace, vm,
        "serial.*,e1000.tx_fram", f)
    raises('did you mean "serial.*"?', vm.trace, vm, "seriel.*", f)
    raises("--trace help", vm.trace, vm, "", f)
    raises("on_eror", vm.trace, vm, "*", f, { on_eror = "pause" })
    raises("format", vm.trace_output, vm, { format = "xml" })
    raises("/nowhere/at/all", vm.trace_output, vm, { file = "/nowhere/at/all" })
    equal(next(vm:traced()), nil)
    equal(#vm:hooks(), 0)
    vm:close()
end)

check.case("an output writes lines", function()
    local path = dir .. "/lines"
    local vm = board()
    local out = vm:trace_output { file = path }
    out:enable("serial.*,-serial.rx")
    vm.io:write(0x3f8, 1, 0x41)
    out:disable("serial.tx")
    vm.io:write(0x3f8, 1, 0x42)
    out:flush()
    equal(read_file(path), "0 - pc serial.tx " .. SERIAL .. " byte=0x41 loopback=off\n")
    equal(out.lines, 1)
    equal(out.file, path)
    equal(tostring(out), "trace output to " .. path .. ", 1 lines")
    out:close()
    raises("closed trace output", out.enable, out, "*")
    vm:close()
end)

check.case("the property trace sees how the machine is built; JSON lines are JSON", function()
    local json = require "perilune.json"
    local path = dir .. "/json"
    local vm = board { trace = { "device.realize,mem.map,file=" .. path .. ",format=json",
        "-mem.*,file=" .. path } }
    vm:close()
    local count = 0
    for line in io.lines(path) do
        local record = json.decode(line)
        equal(record.vm, "pc")
        equal(record.event, "device.realize")
        equal(type(record.args.type), "string")
        equal(record.time, 0)
        count = count + 1
    end
    equal(count > 10, true, "more than ten devices")
end)

check.case("every event has a name, a line of help, and names for its arguments", function()
    local seen, count = {}, 0
    for _, event in ipairs(perilune.trace.events()) do
        equal(event.name:match("^%l[%w]*%.[%l_%d]+$"), event.name)
        equal(seen[event.name], nil, event.name)
        equal(event.help:match("^[^\n]+[^.\n]$"), event.help)
        for _, arg in ipairs(event.args) do
            equal(arg.name:match("^%l[%w_]*$"), arg.name)
        end
        seen[event.name] = true
        count = count + 1
    end
    equal(count >= 60, true, "at least 60 events")
end)

check.case("the monitor switches events, lists them and completes their names", function()
    local path = dir .. "/monitor"
    vm = board() -- luacheck: ignore
    local _, ok = monitor.execute("trace-file " .. path)
    equal(ok, true)
    equal(monitor.execute("trace-file"), path)
    equal(select(2, monitor.execute("trace-event serial.tx on")), true)
    vm.io:write(0x3f8, 1, 0x41) -- luacheck: ignore
    equal(monitor.execute("info trace-events serial.t*"):match("serial.tx%s+(%w+)"), "on")
    equal(monitor.execute("info trace-events serial.t*"):match("serial.timeout%s+(%w+)"), "off")
    monitor.execute("trace-event serial.tx off")
    vm.io:write(0x3f8, 1, 0x42) -- luacheck: ignore
    equal(monitor.commands.info("trace-events", "serial.tx")[1].on, false)
    monitor.execute("trace-file flush")
    equal(read_file(path), "0 - pc serial.tx " .. SERIAL .. " byte=0x41 loopback=off\n")
    monitor.execute("trace-file off")
    equal(monitor.execute("trace-file"), "standard error")
    equal(monitor.execute("trace-event serial.tz on"):match('mean "serial.tx"') ~= nil, true)
    equal(monitor.execute("trace-event serial.tx maybe"):match("neither on nor off") ~= nil, true)
    equal(monitor.execute("info trace-events nothing.*"):match("no event") ~= nil, true)
    equal(monitor.complete("trace-event ioapic.s")[1], "trace-event ioapic.send")
    vm:close() -- luacheck: ignore
    vm = nil -- luacheck: ignore
end)

--- A program that uses timer, serial port and interrupts of the software cpu.
local function run(path)
    local vm2 <close> = perilune.machine("minimal", { idle = "warp", serial = "ring",
        trace = "*,file=" .. path })
    vm2:on_reset(function()
        -- mov cx, 5; l: mov al, 'x'; mov dx, 0x3f8; out dx, al; loop l; int3 would be taken: div
        vm2.memory:write_bytes(0x1000, "\xb9\x05\x00\xb0x\xba\xf8\x03\xee\xe2\xf8"
            .. "\xb0\x00\xe6\xf4\xeb\xfe")
        local cpu = vm2.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm2:reset()
    vm2:run()
    equal(vm2.exit_reason, "debug-exit")
end

check.case("two runs give the same lines, with exact times and counts", function()
    run(dir .. "/first")
    run(dir .. "/second")
    local first = read_file(dir .. "/first")
    equal(first, read_file(dir .. "/second"))
    -- Five characters, four instructions apart: the third instruction but one retires the first.
    local times = {}
    for time, count in first:gmatch("(%d+) (%d+) minimal serial.tx") do
        equal(time, count)
        times[#times + 1] = count
    end
    equal(table.concat(times, " "), "3 7 11 15 19")
    equal(first:match("vm.end vm reason=debug%-exit status=1") ~= nil, true)
end)

for _, name in ipairs { "lines", "json", "monitor", "first", "second" } do
    uv.fs_unlink(dir .. "/" .. name)
end
uv.fs_rmdir(dir)
check.finish()
