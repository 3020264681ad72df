-- Bad input on the command line: each ends with status 2 and says what was wrong, and leaves
-- nothing behind.
local check = require "check"
local command = require "command"

local dir, elf, run, write = command.dir, command.elf, command.run, command.write

--- Status 2, one message, and `words` in it.
local function refused(words, ...)
    local output, status = run(...)
    check.equal(status, 2, "status")
    if not output:find(words, 1, true) then
        error(("%q does not contain %q"):format(output, words), 2)
    end
    check.equal(output:sub(1, 10), "perilune: ", "start of the message")
    check.equal(output:find("traceback", 1, true), nil, "a traceback")
end

local minimal = { "--machine", "minimal" }

local function minimal_with(...)
    return table.unpack(table.move({ ... }, 1, select("#", ...), #minimal + 1,
        { table.unpack(minimal) }))
end

check.case("options", function()
    refused("--memroy: unknown option; did you mean --memory?", "--memroy", "512M")
    refused("-kernle: unknown option; did you mean --kernel?", "-kernle", "x")
    refused("--memory: SIZE must follow it", "--memory")
    refused("--no-reboot: it takes no value", "--no-reboot=1")
    refused("--drive: there are no disks yet", "--drive", "file=x")
    refused("-s: the GDB server", "-s")
    refused("--display: \"gtk\" is not available", "--display", "gtk")
    refused("--dump: \"mtre\" is not one of mtree, flat, qtree; did you mean \"mtree\"?",
        minimal_with("--dump",
        "mtre"))
    refused("nothing to run", minimal_with())
end)

check.case("help of an option is no error", function()
    for _, name in ipairs { "--netdev", "--nic", "--accel", "--serial", "--object" } do
        local output, status = run(name, "help")
        check.equal(status, 0, name)
        check.equal(output:sub(1, #name), name)
    end
end)

check.case("trace", function()
    refused('there is no event "e1000.tx_fram"; did you mean "e1000.tx_frame"?',
        minimal_with("--trace", "e1000.tx_fram", "--dump", "mtree"))
    refused('--trace: which events? "*" is all', minimal_with("--trace", "file=/tmp/x"))
    refused('--trace: unknown key "fiel"; did you mean "file"?', minimal_with("--trace",
        "*,fiel=/tmp/x"))
    refused('--trace: format "xml" is none of text, json', minimal_with("--trace",
        "*,format=xml"))
    local output, status = run(minimal_with("--trace", "*,file=/nowhere/at/all", "--dump",
        "mtree"))
    check.equal(status, 4)
    check.equal(output:find('"/nowhere/at/all"', 1, true) ~= nil, true, "the file is named")
end)

check.case("machines", function()
    refused('perilune: --machine: there is no machine "pcc" (there are: minimal, pc, sample_board); did you mean "pc"?',
        "--machine",
        "pcc", "--dump", "mtree")
    refused("perilune: --machine: there is no machine definition", "--machine", "/nowhere/m.lua", "--dump", "mtree")
end)

check.case("definitions", function()
    local bad = write("syntax.lua", "return machine.define {\n  name = \n}\n")
    refused("syntax.lua:3:", "--machine", bad, "--dump", "mtree")
    bad = write("nothing.lua", "return 1\n")
    refused("nothing.lua: a machine definition ends with", "--machine", bad, "--dump", "mtree")
    bad = write("key.lua", "return machine.define { name = 'x', biuld = function() end }\n")
    refused('key.lua:1: unknown key "biuld"; did you mean "build"?', "--machine", bad, "--dump",
        "mtree")
    bad = write("prop.lua", "return machine.define { name = 'x', build = function() end,\n"
        .. "  props = { lamps = { 'itn', 3 } } }\n")
    refused('property "lamps": there is no type "itn"; did you mean "int"?', "--machine", bad,
        "--dump", "mtree")
    bad = write("device.lua", "return machine.define { name = 'x', build = function(m)\n"
        .. "  m:device('isa-seral')\nend }\n")
    refused("device.lua:2: unknown device type 'isa-seral'; did you mean 'isa-serial'?",
        "--machine", bad, "--dump",
        "mtree")
    bad = write("used.lua",
        "return machine.define { name = 'x', extends = 'pc', build = function(m, p, super)\n"
        .. "  super()\n  m:device('e1000', { addr = '01.0' })\nend }\n")
    refused("used.lua:3: ", "--machine", bad, "--dump", "mtree")
    bad = write("twice.lua",
        "return machine.define { name = 'x', extends = 'pc', build = function(m, p, super)\n"
        .. "  super()\n  m:device('e1000', { id = 'n' })\n  m:device('e1000', { id = 'n' })\nend }\n")
    refused("twice.lua:4: ", "--machine", bad, "--dump", "mtree")
    bad = write("devprop.lua",
        "return machine.define { name = 'x', extends = 'pc', build = function(m, p, super)\n"
        .. "  super()\n  m:device('e1000', { mca = 'n' })\nend }\n")
    refused("devprop.lua:3: ", "--machine", bad, "--dump", "mtree")
end)

check.case("properties", function()
    refused('has no property "memry"; did you mean "memory"?', minimal_with("--set", "memry=1M",
        "--dump", "mtree"))
    refused("--smp: \"many\" is not an integer", minimal_with("--smp", "many", "--dump", "mtree"))
    refused("--memory: 3000G is out of range: at most 2G", minimal_with("--memory", "3000G"))
    refused("--smp: 99 is out of range", minimal_with("--smp", "99", "--dump", "mtree"))
    refused("--set idle: \"wrap\" is not one of sleep, warp; did you mean \"warp\"?",
        minimal_with("--set", "idle=wrap", "--dump", "mtree"))
    refused("--machine foo: machine \"minimal\" has no property \"foo\"", "--machine", "minimal,foo=1")
    refused("--machine cpus: 99 is out of range", "--machine", "minimal,cpus=99")
    refused("--set memory: \"x\" is not a size", minimal_with("--memory", "1G", "--set", "memory=x"))
    refused("--smp: 0: a machine needs a cpu", minimal_with("--smp", "0"))
    refused("--accel: \"hvf\" is not one of", minimal_with("--accel", "hvf", "--dump", "mtree"))
    refused("--rtc: ", minimal_with("--rtc", "base=2026-13-01", "--dump", "mtree"))
end)

check.case("objects", function()
    refused("--object: there is no network \"n2\"; did you mean \"n1\"?", "--netdev", "user,id=n1", "--device",
        "e1000,netdev=n1", "--object", "filter-buffer,id=b,netdev=n2,interval=5")
    refused("--object: there is no kind \"rng-random\" (there are: filter-buffer, filter-dump, filter-mirror, "
        .. "filter-redirector): no device takes random numbers", "--object", "rng-random,id=r")
end)

check.case("memory", function()
    refused("--memory: a machine needs RAM", minimal_with("--memory", "0", "--dump", "mtree"))
    refused("--memory: \"lots\" is not a size", minimal_with("--memory", "lots", "--dump", "mtree"))
    refused("--memory: ", minimal_with("--memory", "1.5G", "--dump", "mtree"))
    refused("--memory: ", "--machine", "pc", "--memory", "4000T", "--dump", "mtree")
    refused("--set memory: 6001 bytes is not a multiple of 4K", minimal_with("--set", "memory=6001",
        "--dump", "mtree"))
end)

check.case("networks", function()
    refused("mac", "--nic", "user,mac=zz:00", "--dump", "mtree")
    refused("hostfwd", "--nic", "user,hostfwd=tcp:nonsense", "--dump", "mtree")
    refused("--nic: there is no type \"tap\"", "--nic", "tap", "--dump", "mtree")
    refused('unknown key "hostfw"; did you mean "hostfwd"?', "--nic", "user,hostfw=x", "--dump",
        "mtree")
    refused('there is no network backend "n2"', "--netdev", "user,id=n1", "--device",
        "e1000,netdev=n2", "--dump",
        "mtree")
    refused('"n1" is taken', "--netdev", "user,id=n1", "--netdev", "user,id=n1", "--dump", "mtree")
    refused("has no place for a network card", minimal_with("--nic", "user", "--dump", "mtree"))
    refused("unknown device type", "--device", "e1001", "--dump", "mtree")
    refused("is not plugged in", "--netdev", "user,id=n1", "--object", "filter-dump,netdev=n1,file="
        .. dir .. "/x",
        "--dump", "mtree")
end)

check.case("kernels", function()
    refused("/nowhere/vmlinuz", minimal_with("--kernel", "/nowhere/vmlinuz"))
    refused("junk", minimal_with("--kernel", write("junk", ("x"):rep(100000))))
    refused("empty", minimal_with("--kernel", write("empty", "")))
    refused("cut.elf", minimal_with("--kernel", write("cut.elf", elf({ { 0x100000, 4096, 4096 } },
        2000))))
    refused("outside.elf", minimal_with("--kernel", write("outside.elf", elf { { 0x100000000, 64,
        64 } })))
    refused("overlap.elf", minimal_with("--kernel", write("overlap.elf",
        elf { { 0x100000, 4096, 4096 }, { 0x100800, 64, 64 } })))
end)

check.case("files that cannot be written", function()
    local kernel = write("ok.elf", elf { { 0x100000, 16, 16 } })
    refused("--stats: ", minimal_with("--kernel", kernel, "--stats", "/nowhere/stats.json"))
    refused("/nowhere/log", minimal_with("--kernel", kernel, "--log", "file=/nowhere/log"))
end)

check.case("scripts", function()
    local output, status = run("/nowhere/script.lua")
    check.equal(status, 2)
    check.equal(output:find("/nowhere/script.lua", 1, true) ~= nil, true, "names the file")
    output, status = run("-e", "error([[broken]])")
    check.equal(status, 2)
    check.equal(output:find("broken", 1, true) ~= nil, true, "says the error")
    check.equal(output:find("traceback", 1, true) ~= nil, true,
        "a programming error has a traceback")
    check.equal(select(2, run("-e", "return 9")), 9)
    check.equal(select(2, run("-e", "os.exit(5)")), 5)
    check.equal(select(2, run("-e", "os.exit(true)")), 0)
    refused("version 99 of the scripting interface", "-e", "perilune.require_api(99)")
end)

check.case("listings of what there is", function()
    for _, args in ipairs { { "--help" }, { "--version" }, { "--machine", "help" }, { "--device",
        "help" },
        { "--machine", "pc,help" }, { "--device", "e1000,help" }, { "-M", "pc", "-m", "64",
            "--dump", "qtree" } } do
        local output, status = run(table.unpack(args))
        check.equal(status, 0, table.concat(args, " "))
        check.equal(#output > 10, true, "output of " .. table.concat(args, " "))
    end
    local output = run("--machine", "pc,help")
    for _, name in ipairs { "memory", "kernel", "boot.decompress", "idle" } do
        check.equal(output:find("  " .. name .. " ", 1, true) ~= nil, true, name)
    end
end)

command.clean()
check.finish()
