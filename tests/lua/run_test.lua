-- Running programs from scripts: registers, ends of a run, resets, what hooks may do.
local bare = require "bare"
local check = require "check"

local equal, raises = check.equal, check.raises

--- Real-mode code at 0x1000 of machine "minimal". Returns its vm.
local function program(code, options)
    options = options or {}
    options.idle = options.idle or "sleep"
    return bare.program(code, options)
end

local OUT_SERIAL = "\xba\xf8\x03" -- mov dx, 0x3f8
local function say(c)
    return "\xb0" .. c .. "\xee" -- mov al, c; out dx, al
end
local EXIT = "\xb0\x03\xe6\xf4" -- mov al, 3; out 0xf4, al
local SPIN = "\xeb\xfe"

check.case("what most runs do without is loaded on first use", function()
    local vm = perilune.machine("minimal", { serial = { "ring" } })
    for _, name in ipairs { "task", "trace", "cluster", "stats", "monitor", "test.runner" } do
        check.equal(package.loaded["perilune." .. name], nil, name)
    end
    local names = {}
    for key in pairs(perilune) do
        names[key] = true
    end
    check.equal(names.trace and names.cluster and names.machine, true, "names for completion")
    check.equal(type(vm.task), "function")
    check.equal(type(perilune.trace.events()), "table")
    vm:close()
end)

check.case("a program says something and ends", function()
    local vm = program(OUT_SERIAL .. say "H" .. say "i" .. EXIT .. SPIN)
    equal(vm.cpus[1].rip, 0x1000)
    equal(vm:run(), vm)
    equal(vm.state, "ended")
    equal(vm.exit_reason, "debug-exit")
    equal(vm.exit_status, 7)
    equal(vm:chardevs()[1]:read(), "Hi")
    equal(vm.cpus[1].rax & 0xff, 3)
    equal(vm:stats().instructions > 5, true)
    equal(vm.instructions, vm:stats().instructions)
    local data = perilune.stats(vm)
    equal(data.exit_reason, "debug-exit")
    equal(data.exits.pio, 3)
    vm:close()
end)

check.case("code and the map of memory change while the guest runs", function()
    local uv = require "luv"
    -- 1000 inc word [0x3000]; 1004 jmp 1000: the script moves the counter to 0x3002 and back
    local vm = program("\xff\x06\x00\x30\xeb\xfa")
    local ram, rounds = vm.machine:ram("passing", 4096), 0
    vm:resume()
    local timer <const> = uv.new_timer()
    timer:start(1, 1, function()
        if vm.instructions == 0 then
            return -- it has not decoded the code yet
        end
        rounds = rounds + 1
        local at = rounds % 2 * 2
        vm.memory:write(0x1002, 1, at)
        if at == 0 then
            ram:unmap()
        else
            vm.memory:map(0x40000000, ram)
        end
        vm.memory:write(0x3000 + (2 - at), 2, 0xffff) -- the other one must stay as it is from now on
    end)
    local last
    perilune.wait(function()
        local at = rounds % 2 * 2
        if rounds > 0 and last ~= rounds then
            last = rounds
            equal(vm.memory:read(0x3000 + (2 - at), 2), 0xffff, "what the old code counted")
        end
        return rounds >= 200
    end)
    timer:close()
    vm:pause()
    vm:close()
end)

check.case("the same run twice is the same", function()
    local function once()
        local vm = program(OUT_SERIAL .. say "H" .. EXIT .. SPIN, { idle = "warp" })
        vm:run()
        local n, hash = vm.instructions, vm:ram_sha256()
        vm:close()
        return n, hash
    end
    local n1, h1 = once()
    local n2, h2 = once()
    equal(n1, n2)
    equal(h1, h2)
end)

check.case("a script stops a program that does not end", function()
    local uv = require "luv"
    local vm = program(SPIN)
    local timer = uv.new_timer()
    timer:start(50, 0, function()
        timer:close()
        raises("waits, and a hook may not", vm.run, vm)
        vm:pause("enough")
    end)
    vm:run()
    equal(vm.state, "paused")
    equal(vm.pause_reason, "enough")
    equal(vm.cpus[1].rip, 0x1000)
    vm.cpus[1].rip = 0x1000 + #SPIN
    vm.memory:write_bytes(0x1000 + #SPIN, EXIT)
    vm:run()
    equal(vm.exit_status, 7)
    vm:close()
end)

check.case("whoever looks from outside sees figures of one moment, and not an old one", function()
    local uv = require "luv"
    local vm = program(SPIN)
    local timer, seen, moments = uv.new_timer(), -1, 0
    timer:start(1, 1, function()
        local s <const> = vm:stats()
        equal(s.instructions, s.virtual_ns, "one instruction takes 1 ns, and nothing idles")
        equal(vm.instructions, s.instructions)
        equal(vm.cpus[1].instructions, s.instructions)
        if s.instructions > seen then
            seen, moments = s.instructions, moments + 1
        end
        if moments == 4 then
            timer:close()
            vm:pause("enough")
            equal(vm.instructions >= seen, true, "it is exact again: later")
        end
    end)
    vm:run()
    equal(vm.pause_reason, "enough")
    vm:close()
end)

check.case("a hook that raises pauses the machine and is reported once", function()
    local vm = program(OUT_SERIAL .. say "H" .. say "i" .. SPIN)
    local calls = 0
    vm:chardevs()[1]:on_output(function()
        calls = calls + 1
        error("expected: raised on purpose")
    end)
    vm:run()
    equal(vm.state, "paused")
    equal(vm.pause_reason, "script error")
    equal(calls >= 1, true)
    vm:close()
end)

check.case("a hook may end the run", function()
    local vm = program(OUT_SERIAL .. say "H" .. SPIN)
    vm:chardevs()[1]:on_output(function()
        vm:stop("heard it", 12)
    end)
    vm:run()
    equal(vm.exit_reason, "heard it")
    equal(vm.exit_status, 12)
    vm:close()
end)

check.case("registers", function()
    local vm = program(SPIN)
    local cpu = vm.cpus[1]
    cpu.r15 = -2
    equal(cpu.r15, -2)
    equal(cpu.cr0 & 1, 0)
    equal(cpu:translate(0x1234), 0x1234)
    equal(cpu:read(0x1000, 2), SPIN)
    raises('did you mean "rflags"', function()
        return cpu.rflag
    end)
    vm:close()
end)

check.case("an error in the reset step is the script's to handle", function()
    local vm = program(SPIN)
    vm:on_reset(function()
        error("expected: reset refused")
    end)
    raises("reset refused", vm.reset, vm)
    vm:close()
end)

check.case("a script without a machine waits for luv", function()
    local uv = require "luv"
    local ticks, timer = 0, uv.new_timer()
    timer:start(1, 1, function()
        ticks = ticks + 1
    end)
    perilune.wait(function()
        return ticks >= 3
    end)
    equal(ticks >= 3, true)
    timer:close()
    local pipe, text, status, ended = uv.new_pipe(false), "", nil, false
    uv.spawn(uv.exepath(), { args = { "-e",
        "perilune.wait(function() print(6 * 7) os.exit(5) end)" }, stdio = { nil, pipe, 2 } },
        function(code)
            status = code
        end)
    pipe:read_start(function(_, more)
        text, ended = text .. (more or ""), not more
    end)
    perilune.wait(function()
        return status and ended
    end)
    pipe:close()
    equal(text, "42\n")
    equal(status, 5)
    raises("its function has failed", perilune.wait, function()
        perilune.wait(function() end) -- in a hook: that one raises
    end)
    raises("function expected", perilune.wait, 5)
end)

check.case("a script may end with open handles of luv", function()
    local uv = require "luv"
    local code = "local uv = require 'luv' for i = 1, 50 do uv.new_timer():start(9999, 0, function() "
        .. "end) uv.new_signal():start('sigusr1', function() end) end return 9"
    local env, status, signal = { "MALLOC_PERTURB_=85" }, nil, nil -- what is freed is overwritten
    for name, value in pairs(uv.os_environ()) do
        env[#env + 1] = name .. "=" .. value
    end
    local child <const> = uv.spawn(uv.exepath(), { args = { "-e", code }, env = env,
        stdio = { nil, 1, 2 } }, function(...)
        status, signal = ...
    end)
    perilune.wait(function()
        return status
    end)
    child:close()
    equal(signal .. " " .. status, "0 9")
end)

check.finish()
