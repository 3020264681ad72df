-- Machines as scripts see them: definitions, inheritance, objects, and handles that outlive their
-- machine.
local check = require "check"
local core = require "perilune.core"
local json = require "perilune.json"

local equal, raises = check.equal, check.raises

--- A machine without a cpu that `build` fills.
local function bare(build, options)
    local def = machine.define { name = "bare", build = build, props = { lamps = { "int", 3,
        min = 1, max = 9 } } }
    options = options or {}
    options.cpus = 0
    options.memory = options.memory or "1M"
    return perilune.machine(def, options)
end

check.case("properties and inheritance", function()
    local seen = {}
    local base = machine.define {
        name = "base",
        props = { colour = { "enum", "red", values = { "red", "green" } }, lamps = { "int", 3 } },
        build = function(_, p)
            seen[#seen + 1] = p.colour .. p.lamps
        end,
    }
    local child = machine.define {
        name = "child",
        extends = base,
        props = { lamps = { "int", 5, max = 6 } },
        build = function(_, _, super)
            seen[#seen + 1] = "before"
            super()
            seen[#seen + 1] = "after"
        end,
    }
    local vm = perilune.machine(child, { cpus = 0, colour = "green" })
    equal(table.concat(seen, " "), "before green5 after")
    vm:close()
    raises('did you mean "colour"', perilune.machine, child, { color = "green" })
    raises("out of range", perilune.machine, child, { lamps = 7 })
    raises("is not an integer", perilune.machine, child, { lamps = "seven" })
    vm = perilune.machine(machine.define { name = "same", extends = base }, { cpus = 0,
        lamps = "0x10" })
    equal(seen[#seen], "red16")
    vm:close()
end)

check.case("dotted names may be nested tables", function()
    local def = machine.define { name = "d", build = function() end, props = { ["a.b"] = { "int",
        0 } } }
    equal(machine.resolve(def, { a = { b = 4 } })["a.b"], 4)
    equal(machine.resolve(def, { ["a.b"] = "5" })["a.b"], 5)
    raises('has no property "a.c"', machine.resolve, def, { a = { c = 4 } })
end)

check.case("memory", function()
    local vm = bare(function(m)
        local ram = m:ram("ram", "64K")
        m.memory:map(0, ram)
        m.memory:map(1 << 40, ram:alias("window", 0x1000, 0x1000), 1)
        m.memory:map(0x20000, m:rom("rom", 4096))
    end)
    local memory = vm.memory
    equal(memory:write(0x1000, 8, 0x1122334455667788), true)
    equal(memory:read(1 << 40, 4), 0x55667788)
    equal(memory:read(0x1003, 2), 0x4455)
    equal(memory:write_bytes(0xfffe, "ab"), true)
    equal(memory:read_bytes(0xfffe, 2), "ab")
    local value, problem = memory:read(0x50000000, 4)
    equal(value, 0xffffffff)
    equal(problem, "unassigned")
    equal(memory:program_bytes(0x20000, "rom!"), true)
    memory:write_bytes(0x20000, "no")
    equal(memory:read_bytes(0x20000, 4), "rom!")
    raises("1, 2, 4 or 8", memory.read, memory, 0, 3)
    local root = memory.root
    equal(root.name, "system")
    equal(#root:children(), 3)
    root:children()[1]:set_enabled(false)
    raises("mapped in", memory.map, memory, 0, root:children()[2])
    raises("beyond the end", root:children()[2].alias, root:children()[2], "x", 0, "1G")
    equal(vm:ram_sha256():match("^%x+$") ~= nil and #vm:ram_sha256(), 64)
    vm:close()
end)

check.case("devices", function()
    local vm = bare(function(m)
        local isa = m:device("isabus-bridge").bus["isa.0"]
        isa:device("ioport80", { id = "post" })
        raises("provides no bus", function()
            return m:device("isabus-bridge").bus["isa.1"]
        end)
    end)
    local post = vm:device("post")
    equal(post.type, "ioport80")
    equal(post.id, "post")
    vm.io:write(0x80, 1, 0x42)
    equal(post.last, 0x42)
    post.last = 7
    equal(post:get("last"), 7)
    raises('did you mean "last"', function()
        return post.lst
    end)
    raises("last", function()
        post.last = 1000
    end)
    equal(#vm:find { type = "isa-device" }, 1)
    equal(vm:find({ type = "isa-device" })[1], post)
    raises("unknown device type", vm.find, vm, { type = "isa-devise" })
    raises('unknown key "typ"', vm.find, vm, { typ = "x" })
    equal(post.parent_bus.name, "isa.0")
    local fields = {}
    for name in pairs(post) do
        fields[#fields + 1] = name
    end
    local text = table.concat(fields, " ")
    equal(text:match("^type id path parent_bus buses bus ") ~= nil, true, text)
    equal(text:match(" last$"), " last", "properties of the type come last")
    vm:close()
    equal(tostring(post), "closed device")
    raises("closed device", function()
        return post.last
    end)
    raises("closed vm", vm.devices, vm)
    vm:close()
end)

check.case("a failed build leaves nothing behind", function()
    for _ = 1, 20 do
        raises("unknown device type", bare, function(m)
            m.memory:map(0, m:ram("ram", "1M"))
            m:device("isabus-bridge")
            m:device("nonsense")
        end)
    end
end)

check.case("time passes by hand on a machine without a cpu", function()
    local line
    local vm = bare(function(m)
        local isa = m:device("isabus-bridge").bus["isa.0"]
        local pit = isa:device("isa-pit")
        line = m:line()
        pit:connect(0, line)
    end)
    vm:advance(0)
    local start = vm.clock.virtual.now
    -- Channel 0, mode 2, every 11932 ticks of 1.193182 MHz: 100 Hz.
    vm.io:write(0x43, 1, 0x34)
    vm.io:write(0x40, 1, 11932 & 0xff)
    vm.io:write(0x40, 1, 11932 >> 8)
    local before = line.rises
    vm:advance(1000000000)
    equal(vm.clock.virtual.now - start, 1000000000)
    local rises = line.rises - before
    equal(rises >= 99 and rises <= 101, true, "100 Hz: " .. rises)
    raises("time does not go back", vm.advance, vm, -1)
    vm:close()
end)

check.case("character backends", function()
    local vm = bare(function(m, p)
        local isa = m:device("isabus-bridge").bus["isa.0"]
        for _, port in ipairs(p.serials) do
            isa:device("isa-serial", port)
        end
    end, { serial = { "ring", "null" } })
    local serial = vm:chardevs()[1]
    equal(serial.id, "serial0")
    equal(#vm:find { type = "isa-serial" }, 2)
    local heard = {}
    serial:on_output(function(text)
        heard[#heard + 1] = text
    end)
    for c in ("hello"):gmatch(".") do
        vm.io:write(0x3f8, 1, c:byte())
        vm:advance(1000000)
    end
    equal(serial:read(), "hello")
    equal(table.concat(heard), "hello")
    serial:write("x")
    vm:advance(10000000)
    equal(vm.io:read(0x3f8, 1), ("x"):byte())
    vm:close()
end)

check.case("networks", function()
    local vm = perilune.machine("pc", { memory = "16M", netdev = { "hubport,id=h1,hubid=0",
        "hubport,id=h2,hubid=0" },
        device = { "e1000,netdev=h1,id=a", "e1000,netdev=h2,mac=52:54:00:00:00:02,id=b" } })
    equal(#vm:links(), 2)
    local link = vm:links()[1]
    equal(link.up, true)
    link.up = false
    equal(link.up, false)
    equal(link:stats()[1].frames, 0)
    equal(vm:device("b").mac, "52:54:00:00:00:02")
    vm:close()
end)

check.case("several machines, and one closed by its scope", function()
    local kept
    do
        local one <close> = bare(function() end)
        local two <close> = bare(function() end)
        kept = one
        equal(one ~= two, true)
        equal(one.state, "paused")
    end
    equal(tostring(kept), "closed vm")
end)

check.case("JSON", function()
    local text = json.encode { b = { 1, 2.5, "x" }, a = true, n = json.null, e = json.array {},
        big = math.maxinteger }
    equal(text, '{"a":true,"b":[1,2.5,"x"],"big":9223372036854775807,"e":[],"n":null}')
    local back = json.decode(text)
    equal(back.big, math.maxinteger)
    equal(back.n, json.null)
    equal(#back.b, 3)
    equal(json.encode(back), text)
    equal(math.type(json.decode("-9223372036854775808")), "integer")
    raises("line 1", json.decode, "{")
    raises("cannot be written", json.encode, { f = print })
    raises("not UTF-8", json.encode, "\xff")
    raises("nested deeper", function()
        local t = {}
        t.t = t
        json.encode(t)
    end)
end)

check.case("sizes and suggestions", function()
    equal(core.parse_size("1G"), 1 << 30)
    equal(core.parse_size("1X"), nil)
    equal(core.nearest("memroy", { "memory", "kernel" }), "memory")
    equal(core.nearest("zzzzzzzz", { "memory", "kernel" }), nil)
end)

check.case("the machine of docs/machine.md", function()
    local file = assert(io.open(os.getenv("PERILUNE_TOP") .. "/docs/machine.md"))
    local text = file:read("a")
    file:close()
    local source = text:match("```lua\n(.-)```")
    local def = assert(load(source))()
    local vm = perilune.machine(def, { cpus = 0, uart = "0x2f8", watch = true, serial = "ring" })
    vm.io:write(0x2f8, 1, 0x21)
    vm:advance(10000000)
    equal(vm:chardevs()[1]:read(), "!")
    vm.memory:write(0xf0000010, 4, 99)
    equal(vm.memory:read(0x10, 4), 99)
    vm:close()
end)

check.case("vm.net says what there is", function()
    local vm = perilune.machine("pc", { memory = "16M", nic = "none" })
    check.raises('machine "pc" has no network, and so no port "net0"', function()
        return vm.net.net0
    end)
    equal(next(vm.net), nil)
    vm:close()
    vm = perilune.machine("pc", { memory = "16M", nic = "user" })
    equal(vm.net.net0.id, "net0")
    check.raises('no network port "nett0"; did you mean "net0"?', function()
        return vm.net.nett0
    end)
    vm:close()
end)

check.finish()
