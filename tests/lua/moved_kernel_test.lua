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

check.finish()
