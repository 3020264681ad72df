-- What hostile_test.lua runs: `hostile_cases.lua MISDEED` does MISDEED in every kind of callback, and
-- writes "<<< kind", what is logged, and ">>> good" or what is wrong to standard error.
-- `hostile_cases.lua exit KIND` leaves the program with status 7 from a callback.
local core = require "perilune.core"
local fault = require "perilune.fault"
local uv = require "luv"

local misdeed, only = arg[1], arg[2]
core.limits { hook_instructions = 2000000, memory = misdeed == "memory" and 24 << 20 or 256 << 20,
    errors_per_second = 1000 }

local BASE <const> = 0x10000000

-- Touches everything that a hook can be on, and ends the machine.
local code = "\x40" ..         -- 1000 inc ax
    "\xa3\x00\x20" ..          -- 1001 mov [0x2000], ax
    "\xa1\x00\x20" ..          -- 1004 mov ax, [0x2000]
    "\xba\xf8\x03" ..          -- 1007 mov dx, 0x3f8
    "\xb0A\xee\xb0\n\xee" ..   -- 100a mov al, 'A'; out dx, al; mov al, '\n'; out dx, al
    "\x0f\xa2" ..              -- 1010 cpuid
    "\x66\xb9\x10\0\0\0" ..    -- 1012 mov ecx, 0x10
    "\x0f\x32" ..              -- 1018 rdmsr
    "\x0f\x0b" ..              -- 101a ud2
    "\xb0\x00\xe6\xf4\xeb\xfe" -- 101c mov al, 0; out 0xf4, al; jmp $
local handler = "\x55\x89\xe5\x83\x46\x02\x02\x5d\xcf" -- skips the two bytes of ud2

local function load_program(vm)
    vm.memory:write_bytes(0x1000, code)
    vm.memory:write_bytes(0x1100, handler)
    vm.memory:write_bytes(6 * 4, "\x00\x11\x00\x00")
    local cpu = vm.cpus[1]
    cpu.cs, cpu.cs_base, cpu.rip, cpu.ss, cpu.ss_base, cpu.rsp = 0, 0, 0x1000, 0, 0, 0x8000
end

--- Where a callback is: what there is for it to take away. Set before it is called.
local scene

-- ---- what callbacks do ----

local function may_not(name, ...)
    local ok, problem = pcall(scene.vm[name], scene.vm, ...)
    assert(not ok, "vm:" .. name .. "() was let through")
    return problem
end

local function overflow(...)
    return 1 + overflow(...)
end

--- What comes from outside comes when it does: the program may have ended long before.
local function run_until(vm, done)
    repeat
        if vm.state == "ended" then
            vm:reset()
        end
        vm:run()
    until done()
end

local misdeeds = {
    raise = function()
        error("on purpose")
    end,
    raise_table = function()
        error({ 1, 2, 3 })
    end,
    raise_nil = function()
        error(nil)
    end,
    raise_liar = function()
        error(setmetatable({}, { __tostring = function() return {} end, __name = 5 }))
    end,
    forever = function()
        while true do
            pcall(function()
                local x <close> = setmetatable({}, { __close = function() while true do end end }) -- luacheck: ignore
                while true do end
            end)
        end
    end,
    memory = function()
        local kept = {}
        while true do
            kept[#kept + 1] = ("x"):rep(2 << 20) .. #kept
        end
    end,
    recursion = function()
        return overflow(table.unpack({}, 1, 200)) -- a stack that is soon full
    end,
    handler = function()
        xpcall(error, function(problem)
            error(problem)
        end)
        error("after an error in a message handler")
    end,
    wait = function()
        may_not("run")
        may_not("reset")
        may_not("wait")
        may_not("close")
        error("nothing waits")
    end,
    remove = function()
        for _, h in ipairs(scene.vm:hooks()) do
            h:remove()
        end
        for _, c in ipairs(scene.vm:chardevs()) do
            pcall(c.attach, c, nil)
            pcall(c.on_output, c, nil)
            pcall(c.remove, c)
        end
        for _, d in ipairs(scene.vm:devices()) do
            pcall(d.remove, d)
        end
        for _, p in pairs(scene.vm.net) do
            pcall(p.remove, p)
        end
        for _, r in ipairs(scene.regions) do
            pcall(r.unmap, r)
        end
        for _, t in ipairs(scene.vm:tasks()) do
            pcall(t.cancel, t)
        end
        collectgarbage()
        scene.vm:pause("script error")
    end,
    exit = function()
        os.exit(7)
    end,
}

-- ---- where callbacks are ----

local function dut(spec)
    spec.name, spec.mmio, spec.parent = "dut", { name = "dut", size = 16 }, nil
    return device.define(spec)
end

--- A device of this definition, and guest code that writes to it and reads from it.
local function on_device(spec, use)
    return function(vm)
        scene.device = vm.machine:device(dut(spec), { addr = BASE })
        return use and function()
            use(vm)
        end
    end
end

local function hook(event, filter)
    return function(vm, bad)
        vm:on(event, filter, bad)
    end
end

--- A hook on an instruction, whose function calls `bad` by a detour.
local function detour(f)
    return function(vm, bad)
        vm:on("exec", { at = 0x1001 }, function()
            return f(bad)
        end)
    end
end

--- { name, install(vm, bad) → use; goes_on }: use() makes it happen, in place of vm:run(). goes_on:
--- no policy acts, the machine runs on to its end. raises: the error is the caller's.
local kinds = {
    { "exec", hook("exec", { at = 0x1001 }) },
    { "insn", hook("insn", { after = 3 }) },
    { "read", hook("read", { at = 0x2000 }) },
    { "write", hook("write", { at = 0x2000, size = 2 }) },
    { "read gva", hook("read", { gva = 0x2000 }) },
    { "write gva", hook("write", { gva = 0x2000 }) },
    { "pio", hook("pio", { port = 0x3f8 }) },
    { "exception", hook("exception", { vector = 6 }) },
    { "msr", hook("msr", { index = 0x10 }) },
    { "cpuid", hook("cpuid", {}) },
    { "serial", hook("serial", {}) },
    { "serial text", hook("serial", { text = "A" }) },
    { "state", hook("state", { state = "resume" }) },
    { "trace", function(vm, bad) vm:trace("chardev.write", bad) end },
    { "timer", function(vm, bad) vm:at(vm.clock.virtual.now + 3, bad) end },
    { "every", function(vm, bad) vm:every(2, bad) end },
    { "task", function(vm, bad) vm:task(bad) end },
    { "task that waited", function(vm, bad)
        vm:task(function()
            vm:wait_serial("A")
            bad()
        end)
    end },
    { "output", function(vm, bad) vm:chardev("serial0"):on_output(bad) end },
    { "close", detour(function(bad)
        local x <close> = setmetatable({}, { __close = bad }) -- luacheck: ignore
    end) },
    { "index", detour(function(bad) return setmetatable({}, { __index = bad }).x end) },
    { "coroutine", detour(function(bad) return coroutine.wrap(function() bad() end)() end) },
    { "comparison", detour(function(bad) table.sort({ 3, 2, 1 }, bad) end) },
    { "gsub", detour(function(bad) return ("abc"):gsub(".", bad) end) },
    { "batch", detour(function(bad) scene.vm:batch(bad) end) },
    { "fault predicate", function(vm, bad)
        fault.inject(vm, { target = "reg", cpu = 0, reg = "rax", effect = "flip", bit = 1,
            trigger = { exec = 0x1001, when = bad } })
    end },
    { "irq", function(vm, bad)
        local line = vm.machine:line()
        vm:on("irq", { line = line }, bad)
        return function() line:set(true) end
    end, goes_on = true },
    { "packet", function(vm, bad)
        local m = vm.machine
        local from = m:hub("left"):port()
        local link = m:link(from, m:hub("right"):port(), "l")
        vm:on("packet", { link = link }, bad)
        return function() link:send(from, ("x"):rep(60)) end
    end, goes_on = true },
    { "input", function(vm, bad)
        local c = vm.machine:chardev { type = "ring", id = "r" }
        c:attach(bad)
        return function() c:write("x") end
    end, goes_on = true },
    { "register read", function(vm, bad)
        on_device({ registers = { { name = "A", offset = 0, read = bad } } })(vm)
        return function() vm.memory:read(BASE, 4) end
    end, goes_on = true },
    { "register write", function(vm, bad)
        on_device({ registers = { { name = "A", offset = 0, write = bad } } })(vm)
        return function() vm.memory:write(BASE, 4, 1) end
    end, goes_on = true },
    { "device timer", function(vm, bad)
        on_device({ timers = { t = bad }, registers = { { name = "A", offset = 0,
            write = function(dev) dev:timer("t"):set(1) end } } })(vm)
        vm.memory:write(BASE, 4, 1)
    end },
    { "device reset", function(vm, bad)
        on_device({ reset = bad })(vm)
        return function() scene.device:reset() end
    end, goes_on = true },
    { "device realize", function(vm, bad)
        return function() vm.machine:device(dut { realize = bad }, { addr = BASE }) end
    end, goes_on = true, raises = true },
    { "reset function", function(vm, bad)
        local once = false
        vm:on_reset(function()
            load_program(vm)
            if not once then
                once = true
                bad()
            end
        end)
        return function() vm:reset() end
    end, goes_on = true, raises = true },
    { "luv", function(vm, bad)
        local t = uv.new_timer()
        t:start(1, 0, function()
            t:close()
            bad()
        end)
        vm:on("exec", { at = 0x1000, name = "spin" }, function() return not t:is_closing() and "stop" or nil end)
        return function()
            run_until(vm, function() return t:is_closing() end)
        end
    end, goes_on = true },
    { "realtime timer", function(vm, bad)
        local called = false
        vm:at(0, function()
            called = true
            bad()
        end, "realtime")
        vm:on("exec", { at = 0x1000, name = "spin" }, function() return not called and "stop" or nil end)
        return function()
            run_until(vm, function() return called end)
        end
    end, goes_on = true },
}

-- ---- one case ----

local function check(ok, what)
    if not ok then
        error(what, 0)
    end
end

local function play(kind)
    local vm = perilune.machine("minimal", { memory = "1M", serial = "ring" })
    scene = { vm = vm, regions = { vm.machine:ram("spare", "64K") } }
    vm.memory:map(0x20000000, scene.regions[1])
    vm:on_reset(load_program)
    vm:reset()
    local called = 0
    local function bad()
        called = called + 1
        if called == 1 then
            return misdeeds[misdeed]()
        end
    end
    local use = kind[2](vm, bad)
    local ok, problem = pcall(use or vm.run, vm)
    if misdeed == "exit" then
        error(problem, 0)
    end
    check(called > 0, "the callback was not called")
    if kind.raises and misdeed ~= "remove" then
        check(not ok, "no error reached the caller")
        io.stderr:write("raised: ", tostring(problem), "\n")
    else
        check(ok, "raised: " .. tostring(problem))
    end
    if not kind.goes_on then
        check(vm.state == "paused", "the machine is " .. vm.state)
        check(vm.pause_reason == "script error", "paused because of " .. vm.pause_reason)
    end
    for _, h in ipairs(vm:hooks()) do
        h:remove()
    end
    vm:reset()
    vm:run()
    check(vm.state == "ended", "run on, it is " .. vm.state .. " " .. vm.pause_reason)
    check(vm.exit_reason == "debug-exit", "it has ended by " .. vm.exit_reason)
    vm:close()
end

--- Handles and requests of libuv that are under way when the program ends.
local function leave_open()
    local input = uv.new_pipe(false)
    uv.spawn("/bin/sleep", { args = { "1" }, stdio = { input, nil, nil } }, function() end)
    input:write(("x"):rep(1 << 20), function() uv.new_timer():start(1, 1, print) end)
    input:shutdown(function() error("never mind") end)
    uv.new_timer():start(1, 1, function() end)
    uv.new_idle():start(function() end)
    uv.new_tcp():connect("10.255.255.1", 9, function() end)
    uv.fs_stat("/", function() uv.fs_stat("/", function() end) end)
    local closing = uv.new_timer()
    closing:close(function() closing = nil end)
end

if misdeed == "leave" then
    leave_open()
    os.exit(0)
elseif misdeed == "kinds" then
    for _, kind in ipairs(kinds) do
        print((kind[1]:gsub(" ", "_")))
    end
    os.exit(0)
end

for _, kind in ipairs(kinds) do
    if not only or kind[1] == only:gsub("_", " ") then
        if misdeed == "exit" then
            play(kind)
        end
        io.stderr:write("<<< ", kind[1], "\n")
        local ok, problem = pcall(play, kind)
        collectgarbage()
        io.stderr:write(">>> ", ok and "good" or tostring(problem):gsub("\n", " "), "\n")
    end
end
