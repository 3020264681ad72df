-- Hooks on symbols of a kernel that moves itself: they wait until it is placed, and follow it over resets.
local check = require "check"

local equal, raises = check.equal, check.raises
local program = assert(os.getenv("PERILUNE_GUESTS")) .. "/moved"
local MIB = 1 << 20
local LINKED = 0xffffffff81180000

local function machine(slide)
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    vm.memory:write_bytes(0x3000, string.pack("<I8", slide))
    return vm
end

local function move(vm, slide)
    vm:reset()
    vm.memory:write_bytes(0x3000, string.pack("<I8", slide))
end

check.case("a hook waits until the kernel has mapped itself", function()
    local vm = machine(6 * MIB)
    local seen = {}
    local h = vm:on("exec", { at = "target" }, function(cpu)
        seen[#seen + 1] = vm:symbolize(cpu.rip) .. (" %x"):format(cpu.rip - vm.symbols.slide)
    end)
    local by_number = vm:on("exec", { at = vm:symbol("target") }, function() end)
    equal(h.pending, true)
    equal(tostring(h), "hook on exec, 0 hits, pending")
    equal(by_number.pending, false)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    equal(vm.symbols.slide, 6 * MIB)
    equal(h.pending, false)
    equal(h.hits, 3)
    equal(by_number.hits, 0)
    equal(seen[1], ("target %x"):format(vm:symbol("target") - 6 * MIB))
    vm:close()
end)

check.case("after a reset it follows the kernel to another place", function()
    local vm = machine(4 * MIB)
    local order = {}
    local function note(name)
        return function()
            order[#order + 1] = name
        end
    end
    local first = vm:on("exec", { at = "target" }, note("symbol"))
    vm:on("exec", { at = LINKED, skip = 0 }, function() end)
    vm:on("exec", { at = "target", skip = 4 }, note("skip"))
    local read = vm:on("exec", { at = "target+0", when = { reg = "rbx", eq = 1 } }, note("last"))
    vm:on("exec", { at = { LINKED, LINKED + 16 * MIB } }, function(cpu)
        if vm:symbolize(cpu.rip) == "target" then
            order[#order + 1] = "range"
        end
    end)
    local stop = vm:on("exec", { at = "target" }, function() return "stop" end)
    vm:run()
    equal(vm.state, "paused")
    equal(vm.symbols.slide, 4 * MIB)
    stop:remove()
    move(vm, 10 * MIB)
    equal(first.pending, true)
    equal(vm.symbols.slide, 0)
    vm:run()
    equal(vm.symbols.slide, 10 * MIB)
    equal(first.hits, 4)
    equal(read.hits, 1)
    equal(table.concat(order, " "), "symbol range symbol range symbol range symbol last range")
    vm:close()
end)

check.case("found by hand, said by hand, and not to be found", function()
    local vm = machine(2 * MIB)
    local h = vm:on("exec", { at = "target" }, function() return "stop" end)
    raises("nowhere", vm.find_slide, vm)
    vm:run()
    equal(vm:find_slide(), 2 * MIB)
    move(vm, 8 * MIB)
    equal(h.pending, true)
    h:remove()
    equal(h.pending, false)
    equal(vm:load_symbols(program, 8 * MIB) > 0, true) -- for good
    local again = vm:on("exec", { at = "high" }, function() return "stop" end)
    equal(again.pending, false)
    vm:run()
    equal(vm.cpus[1].rip, vm:symbol("high"))
    equal(vm.symbols.slide, 8 * MIB)
    vm:reset()
    equal(again.pending, false)
    equal(vm.symbols.slide, 8 * MIB)
    raises("__start_BTF", vm.load_modules, vm)
    vm:close()
end)

check.case("symbols loaded late: the kernel that runs is found at once", function()
    local vm = machine(12 * MIB)
    vm:on("exec", { at = LINKED + 12 * MIB }, function() return "stop" end)
    vm:run()
    local h = vm:on("exec", { at = "target" }, function() end)
    equal(h.pending, false)
    equal(vm.symbols.slide, 12 * MIB)
    vm:run()
    equal(h.hits, 3)
    vm:close()
end)

check.case("a hook waits for a symbol of a file that is loaded later", function()
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    raises("pending = true waits", vm.on, vm, "exec", { at = "not_there_yet" }, print)
    raises("not an offset", vm.on, vm, "exec", { at = "target+x", pending = true }, print)
    raises("pending is for symbols", vm.on, vm, "exec", { at = LINKED, pending = true }, print)
    local h = vm:on("exec", { at = "loaded_late+1", pending = true }, print)
    local write = vm:on("write", { gva = "loaded_late", size = 8, pending = true }, print)
    equal(h.pending, true)
    equal(write.pending, true)
    equal(h.symbol, "loaded_late+1")
    rawset(_G, "vm", vm)
    local shown = require("perilune.monitor").execute("info hooks")
    equal(shown:find("pending .* loaded_late%+1") ~= nil, true, shown)
    local told = 0
    vm:on("symbols", {}, function(v)
        told = told + 1
        equal(v, vm)
    end)
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write("0000000000100000 T loaded_late\n")
    f:close()
    vm:load_symbols(path)
    os.remove(path)
    equal(told > 0, true)
    equal(h.pending, false)
    equal(write.pending, false)
    vm:close()
end)

local fault = require "perilune.fault"

check.case("a fault at a symbol waits until the kernel is placed, and follows it", function()
    local vm = machine(6 * MIB)
    -- The program's own text, changed where it is once it runs: after the reset elsewhere.
    local f = fault.inject(vm, { target = "ram", symbol = "linux_banner", effect = "set", value = "Ludic",
        size = 5, duration = { times = 2 }, trigger = { exec = "target" } })
    local early = fault.inject(vm, { target = "ram", symbol = "linux_banner", size = 13, effect = "set",
        value = "version", at = 6 })
    equal(tostring(early), "fault 2: set ram symbol linux_banner, pending, 0 hits")
    vm:on("exec", { at = "target", skip = 1 }, function() return "stop" end)
    vm:run()
    equal(early.pending, nil)
    equal(early.hits, 1)
    equal(early:history()[1].event, "pending")
    equal(early:history()[2].event, "hit")
    equal(vm.cpus[1]:string(vm:symbol("linux_banner"), 13), "Ludic version")
    move(vm, 8 * MIB)
    equal(f.state, "over")
    vm:close()
end)

check.case("what is stuck at a symbol is stuck again after a reset, where it is then", function()
    local vm = machine(6 * MIB)
    local f = fault.inject(vm, { target = "ram", symbol = "linux_banner", effect = "stuck-at-1", bit = 7 })
    local stop = vm:on("exec", { at = "target" }, function() return "stop" end)
    local function first()
        return vm.cpus[1]:read(vm:symbol("linux_banner"), 1):byte()
    end
    equal(f.hits, 0)
    vm:run()
    equal(first(), ("L"):byte() | 0x80)
    move(vm, 10 * MIB)
    equal(f.state, "active")
    vm:run()
    equal(vm.symbols.slide, 10 * MIB)
    equal(first(), ("L"):byte() | 0x80)
    equal(f.hits, 2)
    f:release()
    stop:remove()
    raises('"nowhere_yet" among 7; pending = true', fault.inject, vm, { target = "ram",
        symbol = "nowhere_yet", effect = "flip" })
    local waits = fault.inject(vm, { target = "ram", symbol = "nowhere_yet", effect = "flip", pending = true,
        trigger = { exec = "not_there_either" } })
    equal(waits.state, "waiting")
    equal(#vm:hooks() > 0, true)
    waits:release()
    vm:close()
end)

check.case("a hook on RAM is in nobody's way: a reset loads the kernel under it, and its memory is read", function()
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    vm:on("write", { at = { 0x180010, 0x18001f } }, function() end)
    vm:on("read", { at = { 0x180018, 0x180027 } }, function() end)
    vm.memory:write_bytes(0x180018, ("x"):rep(16))
    vm:reset()
    equal(vm.memory:read_bytes(0x180018, 16) ~= ("x"):rep(16), true)
    vm.memory:write_bytes(0x3000, string.pack("<I8", 2 * MIB))
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    vm:close()
end)

check.finish()
