-- Runs from the command line: what ends them, and the exit status and statistics that follow.
local check = require "check"
local command = require "command"
local json = require "perilune.json"

local equal = check.equal

local SAY_HI = "\x66\xba\xf8\x03\xb0H\xee\xb0i\xee" -- mov dx, 0x3f8; out 'H', 'i'
local SPIN = "\xeb\xfe"

local function exit_with(value)
    return "\xb0" .. string.char(value) .. "\xe6\xf4" -- mov al, value; out 0xf4, al
end

check.case("debug-exit gives an odd status, and output goes to stdout", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(5) .. SPIN)
    local output, status = command.run("--machine", "minimal", "--kernel", kernel)
    equal(output, "Hi")
    equal(status, 11)
    output, status = command.run("-M", "minimal", "-m", "16", "-kernel", kernel, "-nographic")
    equal(output, "Hi")
    equal(status, 11)
end)

check.case("serial ports go where they are told to", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(0) .. SPIN)
    local file = command.dir .. "/serial.txt"
    local output, status = command.run("-M", "minimal", "--kernel", kernel, "--serial", "file:"
        .. file)
    equal(output, "")
    equal(status, 1)
    equal(command.read(file), "Hi")
    equal(command.run("-M", "minimal", "--kernel", kernel, "--serial", "null"), "")
    equal(command.run("-M", "minimal", "--kernel", kernel, "--serial", "none"), "")
end)

check.case("events as lines", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(0) .. SPIN)
    local file = command.dir .. "/trace.txt"
    -- A leading '-' takes away, also from what an option before has asked for.
    local output = command.run("-M", "minimal", "--kernel", kernel, "--trace",
        "events=serial.*,file=" .. file, "--trace", "-serial.divisor,file=" .. file,
        "-trace", "enable=vm.end")
    equal(output:match("^Hi"), "Hi")
    equal(output:match("%d+ %d+ minimal vm.end vm reason=debug%-exit status=1\n$") ~= nil, true)
    local bytes = {}
    for line in io.lines(file) do
        bytes[#bytes + 1] = line:match(
            "^%d+ %d+ minimal serial.tx /machine/unattached/isa%-serial%[0%] byte=(0x%x+) loopback=off$")
    end
    equal(table.concat(bytes, " "), "0x48 0x69")
    local text, status = command.run("--trace", "help")
    equal(status, 0)
    equal(text:match("\n  e1000.tx_frame +size, loopback +a frame is sent\n") ~= nil, true)
end)

check.case("statistics", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(0) .. SPIN)
    local file = command.dir .. "/stats.json"
    command.run("-M", "minimal", "--kernel", kernel, "--stats", file, "--set",
        "stats.ram_hash=true",
        "--set", "idle=warp")
    local s = json.decode(command.read(file))
    equal(s.exit_reason, "debug-exit")
    equal(s.exit_status, 1)
    equal(s.exits.pio, 3)
    equal(s.boot.format, "elf")
    equal(s.accel, "soft")
    equal(s.instructions >= 7, true)
    equal(s.virtual_ns >= s.instructions, true)
    equal(#s.ram_sha256, 64)
    for _, key in ipairs { "wall_s", "mips", "interrupts", "blocks_decoded", "links", "start_s" } do
        equal(s[key] ~= nil, true, key)
    end
    command.run("-M", "minimal", "--kernel", kernel, "--stats", file, "--set",
        "stats.ram_hash=true",
        "--set", "idle=warp")
    local again = json.decode(command.read(file))
    equal(again.ram_sha256, s.ram_sha256)
    equal(again.instructions, s.instructions)
end)

check.case("a triple fault under --no-reboot is status 6", function()
    -- lidt of an empty table, then int3
    local code = "\x48\x83\xec\x10\x48\xc7\x04\x24\0\0\0\0\x48\xc7\x44\x24\x08\0\0\0\0\x0f\x01\x1c\x24\xcc"
    local kernel = command.program("triple.elf", "\xbc\0\0\x20\0" .. code)
    local output, status = command.run("-M", "minimal", "--kernel", kernel, "--no-reboot")
    equal(status, 6)
    equal(output:find("triple-fault", 1, true) ~= nil, true, output)
end)

check.case("a reset loads the kernel again; RAM that it does not touch stays", function()
    local code = "\x80\x3c\x25\0\0\x20\0\0\x75\x11" -- cmp byte [0x200000], 0; jne second
        .. "\xc6\x04\x25\0\0\x20\0\x01" -- mov byte [0x200000], 1
        .. "\x66\xba\xf9\x0c\xb0\x06\xee" .. SPIN -- mov dx, 0xcf9; mov al, 6; out dx, al
        .. exit_with(1) .. SPIN
    local kernel = command.program("reset.elf", code)
    local _, status = command.run("-M", "pc,accel=tcg", "-m", "32", "--kernel", kernel)
    equal(status, 3)
    local output
    output, status = command.run("-M", "pc", "-m", "32", "--kernel", kernel, "--no-reboot")
    equal(status, 0, output)
end)

check.case("a hook that raises ends a run without a monitor", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(0) .. SPIN)
    local script = command.write("broken.lua",
        "vm:chardevs()[1]:on_output(function() error('on purpose') end)\n")
    local output, status = command.run("-M", "minimal", "--kernel", kernel, "--serial", "ring",
        "--script", script)
    equal(status, 2)
    equal(select(2, output:gsub("broken.lua:1: on purpose", "")), 1, "reports")
end)

check.case("Ctrl-a x ends the run under --nographic", function()
    local kernel = command.program("spin.elf", SPIN)
    local _, status = command.shell(("(sleep 0.3; printf '\\001x'; sleep 5) | timeout 20 $P -M minimal --kernel '%s' "
        .. "--nographic"):format(kernel))
    equal(status, 0)
end)

check.case("a signal ends the run in order, and is passed on", function()
    local kernel = command.program("spin.elf", SPIN)
    local file = command.dir .. "/signal.json"
    local _, status = command.shell(("timeout -s TERM 1 $P -M minimal --kernel '%s' --stats '%s' </dev/null")
        :format(kernel, file))
    equal(status, 124)
    equal(json.decode(command.read(file)).exit_reason, "signal")
    local _, by_signal = command.shell(("$P -M minimal --kernel '%s' </dev/null & p=$!; sleep 0.5; kill -INT $p; kill "
        .. "-TERM $p; wait $p"):format(kernel))
    equal(by_signal > 128, true, "died of a signal: " .. by_signal)
end)

check.case("--script sees the machine before it runs", function()
    local kernel = command.program("hi.elf", SAY_HI .. exit_with(0) .. SPIN)
    local script = command.write("look.lua", "print(vm.name, vm.state, #vm.cpus)\n")
    local output = command.run("-M", "minimal", "--kernel", kernel, "--script", script)
    equal(output, "minimal\tpaused\t1\nHi")
end)

check.case("require finds what lies beside a script, a test, a definition", function()
    command.write("beside.lua", "return { word = 'found' }\n")
    local use = "local word = require('beside').word\n"
    local script = command.write("script.lua", use .. "print(word)\n")
    equal(command.run(script), "found\n")
    local test = command.write("test.lua", use .. "it(word, function() end)\n")
    equal(command.run("test", "--list", test):match("found") ~= nil, true)
    local definition = command.write("definition.lua", use
        .. "return machine.define { name = 'm', desc = word, build = function() end }\n")
    equal(command.run("-M", definition .. ",help"):match("found") ~= nil, true)
    local device = command.write("chip.lua", use .. "return device.define { name = word }\n")
    equal(command.run("-e", ("print(require[[perilune.device]].load_file([[%s]]).name)"):format(device)), "found\n")
end)

command.clean()
check.finish()
