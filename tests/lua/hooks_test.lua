-- Hooks: each sentence of docs/hooks.md, on the software cpu.
local check = require "check"

local equal, raises = check.equal, check.raises

--- Real-mode code at 0x1000 of machine "minimal", data segment at 0. Returns its vm.
local function program(code, options)
    options = options or {}
    options.serial = "ring"
    options.idle = "warp"
    local vm = perilune.machine("minimal", options)
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, code)
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    return vm
end

local EXIT = "\xb0\x00\xe6\xf4\xeb\xfe" -- mov al, 0; out 0xf4, al; jmp $

-- Ten rounds of: increment ax, store it at 0x2000.
local LOOP, INC, STORE, DEC = 0x1000, 0x1003, 0x1004, 0x1007
local counting = "\xb9\x0a\x00" .. -- 1000 mov cx, 10
    "\x40" ..                      -- 1003 inc ax
    "\xa3\x00\x20" ..              -- 1004 mov [0x2000], ax
    "\x49" ..                      -- 1007 dec cx
    "\x75\xf9" ..                  -- 1008 jnz 0x1003
    EXIT
local COUNTED = 1 + 10 * 4 -- instructions before EXIT

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

check.case("exec fires before the instruction, once each time", function()
    local vm = program(counting)
    local seen, rips = {}, {}
    local h = vm:on("exec", { at = INC }, function(cpu)
        seen[#seen + 1] = cpu.rax
        rips[#rips + 1] = cpu.rip
    end)
    local first = vm:on("exec", { at = LOOP }, function() end)
    run(vm)
    equal(table.concat(seen, " "), "0 1 2 3 4 5 6 7 8 9")
    equal(rips[1], INC)
    equal(h.hits, 10)
    equal(first.hits, 1)
    equal(tostring(h), "hook on exec, 10 hits")
    vm:close()
end)

check.case("hooks change nothing that the guest could see", function()
    local function instructions(with)
        local vm = program(counting)
        if with then
            vm:on("exec", { at = { 0, 0xffff } }, function() end)
            vm:on("write", { gva = 0x2000, size = 2 }, function() end)
        end
        run(vm)
        local n, hash = vm.instructions, vm:ram_sha256()
        vm:close()
        return n, hash
    end
    local n1, h1 = instructions(false)
    local n2, h2 = instructions(true)
    equal(n1, n2)
    equal(h1, h2)
end)

check.case("ranges, conditions, skip", function()
    local vm = program(counting)
    local range = vm:on("exec", { at = { INC, 0x1009 } }, function() end)
    local five = vm:on("exec", { at = INC, when = { reg = "rax", eq = 5 } }, function(cpu)
        equal(cpu.rax, 5)
    end)
    local low = vm:on("exec", { at = INC, when = { reg = "rax", mask = 1, ne = 0 } }, function() end)
    local late = vm:on("exec", { at = INC, skip = 7 }, function(cpu)
        equal(cpu.rax >= 7, true)
    end)
    local elsewhere = vm:on("exec", { at = INC, cr3 = 0x5000 }, function() end)
    local other = vm:on("exec", { at = INC, cpu = 1 }, function() end)
    run(vm)
    equal(range.hits, 40)
    equal(five.hits, 1)
    equal(low.hits, 5)
    equal(late.hits, 3)
    equal(late.errors, 0)
    equal(elsewhere.hits, 0)
    equal(other.hits, 0)
    vm:close()
end)

check.case("a hook sees committed state and may change registers and memory", function()
    local vm = program(counting)
    vm:on("exec", { at = STORE, when = { reg = "rcx", eq = 1 } }, function(cpu)
        equal(cpu.rax, 10)
        equal(vm.memory:read(0x2000, 2), 9)
        cpu.rax = 0x1234
    end)
    run(vm)
    equal(vm.memory:read(0x2000, 2), 0x1234)
    vm:close()

    vm = program(counting)
    local skipped = vm:on("exec", { at = STORE }, function(cpu)
        cpu.rip = DEC
    end)
    run(vm)
    equal(skipped.hits, 10)
    equal(vm.memory:read(0x2000, 2), 0)
    vm:close()
end)

check.case("stop leaves the instruction for later, and it does not fire twice", function()
    local vm = program(counting)
    local h = vm:on("exec", { at = INC }, function(cpu)
        return cpu.rax == 4 and "stop"
    end)
    vm:run()
    equal(vm.state, "paused")
    equal(vm.pause_reason, "hook")
    equal(vm.cpus[1].rip, INC)
    equal(vm.cpus[1].rax, 4)
    equal(h.hits, 5)
    run(vm)
    equal(h.hits, 10)
    vm:close()
end)

check.case("order of adding; adding and removing inside of a hook", function()
    local vm = program(counting)
    local log = {}
    local function note(text)
        log[#log + 1] = text
    end
    local second
    vm:on("exec", { at = INC, when = { reg = "rax", eq = 0 } }, function()
        note "a"
        vm:on("exec", { at = STORE, when = { reg = "rax", eq = 1 } }, function()
            note "new"
        end)
        second:remove()
    end)
    second = vm:on("exec", { at = INC, when = { reg = "rax", eq = 0 } }, function()
        note "never"
    end)
    local itself
    itself = vm:on("exec", { at = INC }, function()
        note "once"
        itself:remove()
    end)
    vm:on("exec", { at = { INC, INC + 1 }, when = { reg = "rax", eq = 0 } }, function()
        note "last"
    end)
    run(vm)
    equal(table.concat(log, " "), "a once last new")
    equal(itself.installed, false)
    equal(itself.hits, 1)
    equal(second.hits, 0)
    equal(#vm:hooks(), 3)
    vm:close()
    raises("closed hook", function()
        return itself.hits
    end)
end)

check.case("what a hook raises follows its policy", function()
    local vm = program(counting)
    local disabled = vm:on("exec", { at = INC, on_error = "disable", name = "bad" }, function()
        error "on purpose"
    end)
    run(vm)
    equal(disabled.hits, 1)
    equal(disabled.errors, 1)
    vm:close()

    vm = program(counting)
    vm:on("exec", { at = INC }, function()
        error "on purpose"
    end)
    vm:run()
    equal(vm.state, "paused")
    vm:close()

    vm = program(counting)
    vm:on("exec", { at = INC, on_error = "abort" }, function()
        error "on purpose"
    end)
    vm:run()
    equal(vm.exit_reason, "script-error")
    vm:close()
end)

check.case("a hook may not wait, and cannot run for ever", function()
    local vm = program(counting)
    local message
    vm:on("exec", { at = LOOP }, function()
        local ok, m = pcall(vm.run, vm)
        message = not ok and tostring(m)
    end)
    local endless = vm:on("exec", { at = INC, on_error = "disable" }, function()
        while true do end
    end)
    run(vm)
    equal(message and message:find("may not", 1, true) ~= nil, true, "refusal of vm:run() in a hook")
    equal(endless.errors, 1)
    vm:close()
end)

check.case("instruction counts are exact", function()
    local vm = program(counting)
    local at = {}
    vm:on("insn", { at = 5 }, function(cpu)
        at[#at + 1] = ("%d@%x"):format(cpu.instructions, cpu.rip)
        return "stop"
    end)
    vm:run()
    equal(vm.instructions, 5)
    equal(at[1], "5@1003") -- mov, then inc, mov, dec, jnz
    raises("have retired already", vm.on, vm, "insn", { at = 2 }, function() end)
    local every = vm:on("insn", { every = 10 }, function() end)
    local after = vm:on("insn", { after = 1 }, function(cpu)
        equal(cpu.instructions, 6)
    end)
    run(vm)
    equal(every.hits, (COUNTED + 2 - 5) // 10)
    equal(after.hits, 1)
    equal(after.errors, 0)
    equal(after.installed, false)
    vm:close()
end)

check.case("writes to a linear address: seen, replaced, dropped", function()
    local vm = program(counting)
    local seen = {}
    local h = vm:on("write", { gva = 0x2000, size = 2 }, function(offset, value, size, cpu)
        seen[#seen + 1] = ("%d:%d/%d@%x"):format(offset, value, size, cpu.rip)
        if value == 9 then
            return 0x77
        elseif value == 10 then
            return false
        end
    end)
    run(vm)
    equal(seen[1], "0:1/2@1004")
    equal(h.hits, 10)
    equal(vm.memory:read(0x2000, 2), 0x77)
    vm:close()
end)

-- mov ax, [0x2000]; mov [0x2010], ax
local copying = "\xa1\x00\x20\xa3\x10\x20" .. EXIT

check.case("reads of a linear address", function()
    local vm = program(copying)
    vm.memory:write(0x2000, 2, 0x1111)
    local h = vm:on("read", { gva = { 0x2000, 0x2001 } }, function(_, value)
        return value + 1
    end)
    local quiet = vm:on("write", { gva = 0x2000 }, function() end)
    run(vm)
    equal(h.hits, 1)
    equal(quiet.hits, 0)
    equal(vm.memory:read(0x2010, 2), 0x1112)
    vm:close()
end)

check.case("physical accesses: after, before, replaced, dropped; a hook's own fire none", function()
    local vm = program(copying)
    vm.memory:write(0x2000, 2, 0x2222)
    local after = vm:on("read", { at = 0x2000, size = 2 }, function(offset, value, size)
        equal(offset, 0)
        equal(size, 2)
        equal(value, 0x2222)
        return vm.memory:read(0x2000, 2) + 1 -- its own read does not fire it again
    end)
    local dropped = vm:on("write", { at = 0x2010, size = 2 }, function(_, value)
        equal(value, 0x2223)
        return false
    end)
    run(vm)
    equal(after.hits, 1)
    equal(after.errors, 0)
    equal(dropped.hits, 1)
    equal(dropped.errors, 0)
    equal(vm.memory:read(0x2010, 2), 0)
    vm:close()

    vm = program(copying)
    vm:on("read", { at = 0x2000, size = 2, phase = "before" }, function(_, value)
        equal(value, 0)
        return 0x5555
    end)
    run(vm)
    equal(vm.memory:read(0x2010, 2), 0x5555)
    vm:close()
end)

check.case("a hook on memory that is executed", function()
    local vm = program(counting)
    local fetched = vm:on("write", { at = { 0x1000, 0x1fff } }, function() end)
    run(vm)
    equal(fetched.hits, 0)
    vm:close()
end)

check.case("ports", function()
    local vm = program("\xb0\x05\xe6\x80" .. EXIT) -- mov al, 5; out 0x80, al
    local seen = {}
    local h = vm:on("pio", { port = { 0x80, 0xff }, dir = "out" }, function(port, value, size, dir)
        seen[#seen + 1] = ("%x=%d/%d %s"):format(port, value, size, dir)
        if port == 0xf4 then
            return 21
        end
    end)
    run(vm)
    equal(table.concat(seen, ", "), "80=5/1 out, f4=0/1 out")
    equal(h.errors, 0)
    equal(vm.exit_status, 43)
    vm:close()
end)

check.case("exceptions: seen, and an instruction tried again", function()
    -- 1000: ud2; the handler of vector 6 ends with 1
    local vm = program("\x0f\x0b" .. EXIT)
    vm.memory:write(6 * 4, 4, 0x1800)
    vm.memory:write_bytes(0x1800, "\xb0\x01\xe6\xf4")
    local h = vm:on("exception", { vector = 6 }, function(cpu, vector, code)
        equal(vector, 6)
        equal(code, 0)
        equal(cpu.rip, 0x1000)
    end)
    run(vm)
    equal(h.hits, 1)
    equal(h.errors, 0)
    equal(vm.exit_status, 3)
    vm:close()

    vm = program("\x0f\x0b" .. EXIT)
    vm:on("exception", {}, function()
        vm.memory:write(0x1000, 2, 0x9090) -- two NOPs instead
        return false
    end)
    run(vm)
    equal(vm.exit_status, 1)
    vm:close()
end)

check.case("CPUID and MSRs", function()
    local vm = program("\x66\x31\xc0\x0f\xa2" .. -- xor eax, eax; cpuid
        "\x66\x89\x1e\x00\x20" ..                -- mov [0x2000], ebx
        "\x66\xb9\x74\x01\x00\x00\x0f\x32" ..    -- mov ecx, 0x174; rdmsr
        "\x66\xa3\x04\x20" ..                    -- mov [0x2004], eax
        "\x66\xb8\x99\x00\x00\x00\x66\x31\xd2\x0f\x30" .. -- mov eax, 0x99; xor edx, edx; wrmsr
        "\x0f\x32\x66\xa3\x08\x20" .. EXIT)      -- rdmsr; mov [0x2008], eax
    vm:on("cpuid", { leaf = 0 }, function(_, leaf, _, _, ebx)
        equal(leaf, 0)
        equal(ebx, 0x756e6547)
        return nil, 0x4e554c50
    end)
    local directions = {}
    local msr = vm:on("msr", { index = 0x174 }, function(_, index, value, direction)
        equal(index, 0x174)
        directions[#directions + 1] = direction .. value
        if #directions == 1 then
            return 0x42
        elseif direction == "write" then
            return 0x55
        end
    end)
    run(vm)
    equal(msr.errors, 0)
    equal(table.concat(directions, " "), "read0 write153 read85")
    equal(vm.memory:read(0x2000, 4), 0x4e554c50)
    equal(vm.memory:read(0x2004, 4), 0x42)
    equal(vm.memory:read(0x2008, 4), 0x55)
    vm:close()
end)

check.case("IRQ lines", function()
    local vm = perilune.machine("minimal", { cpus = 0 })
    local line = vm.machine:line()
    local levels = {}
    local first = vm:on("irq", { line = line }, function(irq, level)
        equal(irq, line)
        levels[#levels + 1] = level
        return #levels ~= 2
    end)
    local second = vm:on("irq", { line = line }, function() end)
    line:set(true)
    line:set(false) -- swallowed
    equal(line.level, true)
    equal(second.hits, 1)
    first:remove()
    line:set(false)
    equal(line.level, false)
    equal(first.hits, 2)
    equal(second.hits, 2)
    vm:close()
end)

check.case("serial text and lines", function()
    local code = { "\xba\xf8\x03" }
    for c in ("one\r\nlogin: two\n"):gmatch(".") do
        code[#code + 1] = "\xb0" .. c .. "\xee"
    end
    local vm = program(table.concat(code) .. EXIT)
    local lines, prompts = {}, 0
    vm:on("serial", {}, function(line)
        lines[#lines + 1] = line
    end)
    vm:on("serial", { chardev = "serial0", text = "login:" }, function(text)
        prompts = prompts + 1
        equal(text:sub(-6), "login:")
    end)
    run(vm)
    equal(table.concat(lines, "|"), "one|login: two")
    equal(prompts, 1)
    raises("there is no chardev", vm.on, vm, "serial", { chardev = "x" }, function() end)
    vm:close()
end)

check.case("timers on the virtual clock", function()
    local vm = program(counting)
    local times = {}
    local every = vm:every(10, function(v)
        times[#times + 1] = v.clock.virtual
    end)
    local once = vm:at("25ns", function()
        return "stop"
    end)
    vm:run()
    equal(vm.instructions, 25)
    equal(once.installed, false)
    run(vm)
    equal(every.hits, (COUNTED + 2) // 10)
    raises("is not a time", vm.at, vm, "soon", function() end)
    raises("a period must be", vm.every, vm, 0, function() end)
    vm:close()
end)

check.case("states of the machine", function()
    local vm = program(counting)
    local log = {}
    vm:on("state", {}, function(v, state, reason)
        equal(v, vm)
        log[#log + 1] = state .. ":" .. reason
    end)
    local ends = vm:on("state", { state = "exit" }, function() end)
    vm:on("insn", { at = 3 }, function()
        return "stop"
    end)
    vm:run()
    vm:run()
    equal(table.concat(log, " "), "resume: pause:hook resume: exit:debug-exit")
    equal(ends.hits, 1)
    vm:close()
end)

check.case("packets", function()
    local vm = perilune.machine("minimal", { cpus = 0 })
    local m = vm.machine
    local hub = m:hub("h")
    local a, b = hub:port(), hub:port()
    local link = m:link(a, b)
    local h = vm:on("packet", { link = link, from = a.id }, function() end)
    equal(h.hits, 0)
    raises("has no port", vm.on, vm, "packet", { link = link, from = "nobody" }, function() end)
    vm:close()
end)

check.case("ten thousand hooks", function()
    local vm = program(counting)
    for n = 1, 10000 do
        vm:on("exec", { at = 0x100000 + n * 16 }, function() end)
    end
    local h = vm:on("exec", { at = INC }, function() end)
    run(vm)
    equal(h.hits, 10)
    equal(#vm:hooks(), 10001)
    vm:close()
end)

check.case("wrong filters teach", function()
    local vm = program(counting)
    local function f() end
    raises('did you mean "exec"', vm.on, vm, "exce", {}, f)
    raises('unknown key "att"', vm.on, vm, "exec", { att = 1 }, f)
    raises('needs "at"', vm.on, vm, "exec", {}, f)
    raises("must be an integer", vm.on, vm, "exec", { at = {} }, f)
    raises("must not end before it begins", vm.on, vm, "exec", { at = { 5, 4 } }, f)
    raises('did you mean "rdi"', vm.on, vm, "exec", { at = 1, when = { reg = "rdii", eq = 0 } }, f)
    raises("one of eq, ne, lt, gt", vm.on, vm, "exec", { at = 1, when = { reg = "rdi" } }, f)
    raises("function expected", vm.on, vm, "exec", { at = 1 }, 5)
    raises("beyond the address space", vm.on, vm, "pio", { port = { 0, 0x10000 } }, f)
    raises('needs "at"', vm.on, vm, "write", {}, f)
    raises("give one of", vm.on, vm, "insn", { at = 1, every = 1 }, f)
    equal(#vm:hooks(), 0)
    equal(vm:supports("hook.exec"), true)
    raises("there is no feature", vm.supports, vm, "hook.exe")
    vm:close()
end)

check.finish()
