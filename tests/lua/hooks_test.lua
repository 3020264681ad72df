-- Hooks: each sentence of docs/hooks.md, on each backend that can. What a backend cannot is printed
-- with its own reason. TEST_BACKENDS may name fewer of them.
local bare = require "bare"
local check = require "check"

local equal, raises = check.equal, check.raises

local backend -- of the case under way

--- Why the backend cannot, in its words; nil: it can.
local function refusal(vm, feature)
    local filters = {
        ["hook.exec"] = { "exec", { at = 0 } }, ["hook.insn"] = { "insn", { at = 1 } },
        ["hook.read.gva"] = { "read", { gva = 0 } }, ["hook.write.gva"] = { "write", { gva = 0 } },
        ["hook.exception"] = { "exception", {} }, ["hook.msr"] = { "msr", {} },
        ["hook.cpuid"] = { "cpuid", {} },
    }
    local filter = filters[feature]
    if vm:supports(feature) then
        return nil
    elseif not filter then
        return "not " .. feature
    end
    local ok, problem = pcall(vm.on, vm, filter[1], filter[2], print)
    assert(not ok, "vm:supports() denies " .. feature .. ", vm:on() takes it")
    return (tostring(problem):gsub("^%S+:%d+: ", ""))
end

--- One sentence, on every backend that has the features it needs.
local function conform(sentence, needs, f)
    for name in (os.getenv("TEST_BACKENDS") or "soft kvm"):gmatch("%S+") do
        local label = ("%s [%s]"):format(sentence, name)
        local ok, vm = pcall(perilune.machine, "minimal", { accel = name, serial = "none" })
        local why = not ok and tostring(vm)
        for _, feature in ipairs(ok and needs or {}) do
            why = why or refusal(vm, feature)
        end
        if ok then
            vm:close()
        end
        if why then
            print(("skip %s: %s"):format(label, why))
        else
            backend = name
            check.case(label, f)
        end
    end
end

--- Real-mode code at 0x1000 of machine "minimal", data segment at 0. Returns its vm.
local function program(code, options)
    options = options or {}
    options.accel = backend
    options.idle = backend == "soft" and "warp" or "sleep"
    return bare.program(code, options)
end

local EXIT, counting = bare.EXIT, bare.counting
local LOOP, INC, STORE, DEC = bare.LOOP, bare.INC, bare.STORE, bare.DEC
local COUNTED = 1 + 10 * 4 -- instructions before EXIT

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

conform("exec fires before the instruction, once each time", { "hook.exec" }, function()
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

conform("hooks change nothing that the guest could see", { "hook.exec", "hook.write.gva", "deterministic" }, function()
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

conform("an instruction that lies in two pages", { "hook.exec" }, function()
    local AT <const> = 0x1ffe
    local vm = program("\xb9\x0a\x00" .. -- 1000 mov cx, 10
        "\xe9\xf8\x0f") --               1003 jmp 0x1ffe
    vm.memory:write_bytes(AT, "\x81\xc0\x01\x01" .. -- 1ffe add ax, 0x101
        "\x49" ..                                   -- 2002 dec cx
        "\x75\xf9" .. bare.EXIT) --                   2003 jnz 0x1ffe
    local seen = {}
    local h
    local function add()
        h = vm:on("exec", { at = AT }, function(cpu)
            seen[#seen + 1] = ("%x"):format(cpu.rax)
            if #seen == 3 then
                h:remove()
            end
        end)
    end
    add()
    local rounds
    rounds = vm:on("exec", { at = 0x2003, skip = 5 }, function()
        rounds:remove()
        add()
    end)
    run(vm)
    equal(table.concat(seen, " "), "0 101 202 606 707 808 909")
    equal(vm.cpus[1].rax & 0xff00, 0xa00)
    vm:close()
end)

conform("PUSHF behind an instruction that looks like its prefix", { "hook.exec" }, function()
    local vm = program("\xbc\x00\x30" .. -- 1000 mov sp, 0x3000
        "\xb8\xff\xff" ..               -- 1003 mov ax, 0xffff
        "\x50" ..                        -- 1006 push ax
        "\x48" ..                        -- 1007 dec ax: REX.W in 64-bit mode
        "\x9c" ..                        -- 1008 pushf
        "\x5b\x5b" ..                    -- 1009 pop bx, twice
        "\x89\xd8" ..                    -- 100b mov ax, bx
        "\xa3\x00\x20" .. bare.EXIT) --  100d mov [0x2000], ax
    local h = vm:on("exec", { at = 0x1007 }, function() end)
    run(vm)
    equal(h.hits, 1)
    equal(vm.memory:read(0x2000, 2), 0xffff)
    vm:close()
end)

conform("ranges", { "hook.exec" }, function()
    local vm = program(counting)
    local range = vm:on("exec", { at = { INC, 0x1009 } }, function() end)
    run(vm)
    equal(range.hits, 40)
    vm:close()
end)

conform("conditions, skip, address space, cpu", { "hook.exec" }, function()
    local vm = program(counting)
    local five = vm:on("exec", { at = INC, when = { reg = "rax", eq = 5 } }, function(cpu)
        equal(cpu.rax, 5)
    end)
    local low = vm:on("exec", { at = INC, when = { reg = "rax", mask = 1, ne = 0 } }, function() end)
    local below = vm:on("exec", { at = INC, when = { reg = "rcx", lt = 3 } }, function() end)
    local above = vm:on("exec", { at = INC, when = { reg = "rip", gt = 0x1002 } }, function() end)
    local late = vm:on("exec", { at = INC, skip = 7 }, function(cpu)
        equal(cpu.rax >= 7, true)
    end)
    local low_late = vm:on("exec", { at = INC, skip = 4, when = { reg = "rax", mask = 1, ne = 0 } },
        function(cpu)
            equal(cpu.rax, 9)
        end)
    local here = vm:on("exec", { at = INC, cr3 = 0 }, function() end)
    local elsewhere = vm:on("exec", { at = INC, cr3 = 0x5000 }, function() end)
    local first = vm:on("exec", { at = INC, cpu = 0 }, function() end)
    local other = vm:on("exec", { at = INC, cpu = 1 }, function() end)
    run(vm)
    for hook, hits in pairs { [five] = 1, [low] = 5, [below] = 2, [above] = 10, [late] = 3,
        [low_late] = 1, [here] = 10, [elsewhere] = 0, [first] = 10, [other] = 0 } do
        equal(hook.hits, hits)
        equal(hook.errors, 0)
    end
    vm:close()
end)

conform("a skip counts what nobody is called for, too", { "hook.exec" }, function()
    local vm = program(counting)
    local seen
    vm:on("exec", { at = INC, skip = 9 }, function(cpu)
        seen = cpu.rax
    end)
    run(vm)
    equal(seen, 9)
    vm:close()
end)

conform("addresses are linear, whatever the segment", { "hook.exec" }, function()
    local vm = program(counting)
    vm.cpus[1].cs, vm.cpus[1].cs_base, vm.cpus[1].rip = 0x100, 0x1000, 0
    local h = vm:on("exec", { at = INC }, function(cpu)
        equal(cpu.rip, INC - 0x1000)
    end)
    run(vm)
    equal(h.hits, 10)
    equal(h.errors, 0)
    equal(h.cost_ns > 0, true)
    vm:close()
end)

conform("a hook is active from the next instruction after it is added", { "hook.exec" }, function()
    local vm = program(counting)
    local added, missed
    vm:on("exec", { at = INC, when = { reg = "rax", eq = 3 } }, function()
        added = vm:on("exec", { at = STORE }, function() end)
        missed = vm:on("exec", { at = INC }, function() end)
    end)
    run(vm)
    equal(added.hits, 7)
    equal(missed.hits, 6)
    vm:close()
end)

conform("one may be added to a machine that runs, and removed from it", { "hook.exec" }, function()
    local vm = program("\x40\xeb\xfd") -- inc ax; jmp to it
    vm:resume()
    local passing = vm:on("exec", { at = 0x1000 }, function() end)
    passing:remove()
    local hits = passing.hits
    vm:on("exec", { at = 0x1001 }, function()
        return "stop"
    end)
    vm:run()
    equal(vm.pause_reason, "hook")
    equal(passing.hits, hits)
    vm:close()
end)

--- The means that serve each of these hooks, joined.
local function means(hooks)
    local seen = {}
    for n, hook in ipairs(hooks) do
        seen[n] = tostring(hook.means)
    end
    return table.concat(seen, " ")
end

conform("the processor's breakpoints come first, then software", { "hook.exec" }, function()
    local vm = program(counting)
    local hooks = {}
    for n, at in ipairs { LOOP, INC, STORE, DEC, DEC + 1 } do
        hooks[n] = vm:on("exec", { at = at }, function() end)
    end
    local again = vm:on("exec", { at = INC }, function() end) -- shares one
    if backend == "soft" then
        equal(means(hooks), "nil nil nil nil nil")
    elseif hooks[1].means == "hardware" then
        equal(means(hooks), "hardware hardware hardware hardware software")
        hooks[1]:remove()
        equal(hooks[5].means, "hardware", "the one that is free")
        hooks[1] = vm:on("exec", { at = LOOP }, function() end)
        equal(hooks[1].means, "hardware", "in order of addresses")
    else
        equal(means(hooks), ("software "):rep(5):sub(1, -2))
    end
    run(vm)
    for n = 2, 5 do
        equal(hooks[n].hits, 10)
    end
    equal(hooks[1].hits, 1)
    equal(again.hits, 10)
    vm:close()
end)

conform("writes told of late are seen, not replaced", { "hook.write.gva" }, function()
    local vm = program(counting)
    local last
    local h = vm:on("write", { gva = 0x2000, size = 2 }, function(_, value)
        last = value
    end)
    if h.means ~= "hardware" then
        return vm:close()
    end
    local wrong = vm:on("write", { gva = 0x2000, size = 2, on_error = "disable" }, function()
        return false
    end)
    run(vm)
    equal(h.hits, 10)
    equal(last, 10)
    equal(wrong.errors, 1)
    vm:close()
end)

conform("a hook sees committed state and may change registers and memory", { "hook.exec" }, function()
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

conform("code that is there at two linear addresses has hooks at each by itself", { "hook.exec", "deterministic" },
function()
    local FUNCTION <const>, ALIAS <const> = 0x1010, 0x3010 -- the same byte of memory
    local code = "\xb9\x0a\x00" .. -- 1000 mov cx, 10
        "\xb8\x10\x30" ..          -- 1003 mov ax, ALIAS
        "\xe8\x07\x00" ..          -- 1006 call FUNCTION
        "\xff\xd0" ..              -- 1009 call ax
        "\x49" ..                  -- 100b dec cx
        "\x75\xf8" ..              -- 100c jnz 0x1006
        "\xeb\x02" ..              -- 100e jmp 0x1012
        "\x42\xc3" ..              -- 1010 inc dx; ret
        bare.EXIT
    local function hits(...)
        local vm = program(code)
        local table_of = {}
        for page = 0, 255 do
            table_of[page + 1] = string.pack("<I4", (page == 3 and 1 or page) << 12 | 3)
        end
        vm.memory:write_bytes(0x11000, table.concat(table_of))
        vm.memory:write_bytes(0x10000, string.pack("<I4", 0x11003))
        local cpu = vm.cpus[1]
        cpu.rsp, cpu.rdx, cpu.cr3, cpu.cr0 = 0x8000, 0, 0x10000, cpu.cr0 | 1 << 31 | 1
        local counts, hooks = {}, {}
        for n, at in ipairs { ... } do
            hooks[n] = vm:on("exec", { at = at }, function(c) equal(c.rip, at) end)
        end
        run(vm)
        for n, hook in ipairs(hooks) do
            counts[n] = hook.hits - hook.errors
        end
        equal(cpu.rdx, 20)
        vm:close()
        return table.concat(counts, " ")
    end
    equal(hits(FUNCTION), "10")
    equal(hits(ALIAS), "10")
    equal(hits(ALIAS, FUNCTION), "10 10")
    equal(hits(ALIAS + 1, FUNCTION), "10 10")
    equal(hits(0x2010), "0")
end)

conform("what a hook writes to the code that follows is executed", { "hook.exec", "deterministic" }, function()
    local vm = program(counting)
    local inc = vm:on("exec", { at = INC }, function(cpu)
        if cpu.rcx == 5 then
            vm.memory:write_bytes(STORE, "\x90\x90\x90") -- in the same block
        end
    end)
    local before = vm.instructions
    run(vm)
    equal(inc.hits, 10)
    equal(vm.instructions - before, COUNTED + 2 + 5 * 2)
    equal(vm.memory:read(0x2000, 2), 5)
    vm:close()
end)

conform("stop leaves the instruction for later, and it does not fire twice", { "hook.exec" }, function()
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

conform("which hook has stopped the machine, and where it was written", { "hook.exec" }, function()
    local vm = program(counting)
    local other = vm:on("exec", { at = LOOP }, function() end)
    local h = vm:on("exec", { at = INC }, function()
        return "stop"
    end)
    vm:run()
    equal(h.stopped, true)
    equal(other.stopped, false)
    equal(h.where:match("hooks_test%.lua:%d+$") ~= nil, true, h.where)
    equal(require("perilune.monitor.terminal").why_paused(vm),
        ("paused by the hook on exec at %s, rip 0x1003; c lets it run"):format(h.where))
    h:remove()
    equal(h.stopped, false)
    run(vm)
    vm:close()
end)

conform("order of adding; adding and removing inside of a hook", { "hook.exec" }, function()
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

conform("what a hook raises follows its policy", { "hook.exec" }, function()
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

conform("a hook may not wait, and cannot run for ever", { "hook.exec" }, function()
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

conform("instruction counts are exact", { "hook.insn" }, function()
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

conform("writes to a linear address: seen, replaced, dropped", { "hook.write.gva" }, function()
    local vm = program(counting)
    for n = 0, 4 do -- more than the processor has breakpoints for
        vm:on("write", { gva = { 0x2100 + 16 * n, 0x2107 + 16 * n } }, function() end)
    end
    local seen = {}
    local h = vm:on("write", { gva = { 0x2000, 0x20ff } }, function(offset, value, size, cpu)
        seen[#seen + 1] = ("%d:%d/%d@%x"):format(offset, value, size,
            backend == "soft" and cpu.rip or 0x1004)
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

conform("reads of a linear address", { "hook.read.gva" }, function()
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

conform("physical accesses: after, before, replaced, dropped; a hook's own fire none", {}, function()
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

conform("what a hook does fires those that ask for it, and never itself", {}, function()
    local vm = program(copying)
    local outer, quiet, nested
    outer = vm:on("read", { at = 0x2000, size = 2, nested = true }, function()
        vm.memory:read(0x2000, 2)
        vm.memory:write(0x2020, 2, 7)
    end)
    quiet = vm:on("write", { at = 0x2020, size = 2 }, function() end)
    nested = vm:on("write", { at = 0x2020, size = 2, nested = true }, function(_, value)
        return value + 1
    end)
    run(vm)
    equal(outer.hits, 1)
    equal(quiet.hits, 0)
    equal(nested.hits, 1)
    equal(vm.memory:read(0x2020, 2), 8)
    vm:close()
end)

conform("a port read: before, after, or both", {}, function()
    local vm = program("\xb9\x03\x00\xe4\x80\x49\x75\xfb" .. -- mov cx, 3; in al, 0x80; dec cx; jnz
        "\xa2\x00\x20" .. EXIT)                                   -- mov [0x2000], al
    local before = vm:on("pio", { port = 0x80, dir = "in", phase = "before" }, function(_, value)
        equal(value, 0)
        return vm.cpus[1].rcx == 1 and 0x33 or nil
    end)
    local after = vm:on("pio", { port = 0x80, dir = "in" }, function(_, value)
        return value == 0x33 and 0x34 or nil
    end)
    run(vm)
    equal(before.hits, 3)
    equal(before.errors, 0)
    equal(after.hits, 3)
    equal(vm.memory:read(0x2000, 1), 0x34)
    vm:close()
end)

conform("a hook on memory that is executed", { "deterministic" }, function()
    local vm = program(counting)
    local fetched = vm:on("write", { at = { 0x1000, 0x1fff } }, function() end)
    run(vm)
    equal(fetched.hits, 0)
    vm:close()
end)

conform("ports", {}, function()
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

conform("exceptions: seen, and an instruction tried again", { "hook.exception" }, function()
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

conform("CPUID", { "hook.cpuid" }, function()
    local vm = program("\x66\x31\xc0\x0f\xa2" .. -- xor eax, eax; cpuid
        "\x66\x89\x1e\x00\x20" .. EXIT)           -- mov [0x2000], ebx
    vm:on("cpuid", { leaf = 0 }, function(_, leaf, _, _, ebx)
        equal(leaf, 0)
        equal(ebx, 0x756e6547)
        return nil, 0x4e554c50
    end)
    run(vm)
    equal(vm.memory:read(0x2000, 4), 0x4e554c50)
    vm:close()
end)

conform("MSRs: told of, replaced, dropped", { "hook.msr" }, function()
    local vm = program("\x66\xb9\x74\x01\x00\x00\x0f\x32" .. -- mov ecx, 0x174; rdmsr
        "\x66\xa3\x04\x20" ..                                    -- mov [0x2004], eax
        "\x66\xb8\x99\x00\x00\x00\x66\x31\xd2\x0f\x30" .. -- mov eax, 0x99; xor edx, edx; wrmsr
        "\x0f\x32\x66\xa3\x08\x20" ..                          -- rdmsr; mov [0x2008], eax
        "\x66\xb8\x77\x00\x00\x00\x0f\x30" ..                -- mov eax, 0x77; wrmsr
        "\x0f\x32\x66\xa3\x0c\x20" .. EXIT)                    -- rdmsr; mov [0x200c], eax
    local directions = {}
    local msr = vm:on("msr", { index = 0x174 }, function(_, index, value, direction)
        equal(index, 0x174)
        directions[#directions + 1] = direction .. value
        if #directions == 1 then
            return 0x42
        elseif #directions == 2 then
            return 0x55
        elseif direction == "write" then
            return false
        end
    end)
    run(vm)
    equal(msr.errors, 0)
    equal(table.concat(directions, " "), "read0 write153 read85 write119 read85")
    equal(vm.memory:read(0x2004, 4), 0x42)
    equal(vm.memory:read(0x2008, 4), 0x55)
    equal(vm.memory:read(0x200c, 4), 0x55)
    vm:close()
end)

backend = "soft"

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

conform("serial text and lines", {}, function()
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

conform("timers on the virtual clock", { "deterministic" }, function()
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
    raises("0.5 is not a time; write a whole number of nanoseconds", vm.every, vm, 0.5, function() end)
    raises("nil is not a time", vm.at, vm, nil, function() end)
    raises("a period must be", vm.every, vm, 0, function() end)
    vm:close()
end)

conform("states of the machine", { "hook.exec" }, function()
    local vm = program(counting)
    local log = {}
    vm:on("state", {}, function(v, state, reason)
        equal(v, vm)
        log[#log + 1] = state .. ":" .. reason
    end)
    local ends = vm:on("state", { state = "exit" }, function() end)
    vm:on("exec", { at = INC, skip = 9 }, function()
        return "stop"
    end)
    vm:run()
    vm:run()
    equal(table.concat(log, " "), "resume: pause:hook resume: exit:debug-exit")
    equal(ends.hits, 1)
    vm:close()
end)

conform("single steps, among hooks and without", { "hook.exec" }, function()
    local vm = program(counting)
    local cpu = vm.cpus[1]
    local seen = {}
    for _ = 1, 6 do
        vm:step()
        equal(vm.pause_reason, "step")
        seen[#seen + 1] = ("%x"):format(cpu.rip)
    end
    equal(table.concat(seen, " "), "1003 1004 1007 1008 1003 1004")
    equal(cpu.rax & 0xffff, 2)
    vm:step(4)
    equal(cpu.rip, STORE)
    equal(cpu.rax & 0xffff, 3)
    local hook = vm:on("exec", { at = INC }, function()
        return "stop"
    end)
    vm:step(10)
    equal(vm.pause_reason, "hook")
    equal(cpu.rip, INC)
    vm:step()
    equal(cpu.rip, STORE, "from a breakpoint")
    equal(hook.hits, 1)
    hook:remove()
    vm:step(1000)
    equal(vm.exit_reason, "debug-exit")
    raises("at least 1", vm.step, vm, 0)
    vm:close()
end)

check.case("resets and shutdowns", function()
    backend = "soft"
    -- 1000 cmp word [0x3000], 0; jne 0x1011; inc word [0x3000]; lidt [0x2000] (zeros); int3
    -- 1011 mov al, 1; out 0x40, al; hlt
    local vm = program("\x83\x3e\x00\x30\x00\x75\x0a\xff\x06\x00\x30\x0f\x01\x1e\x00\x20\xcc"
        .. "\xb0\x01\xe6\x40\xf4")
    vm.machine:device(device.define { name = "switch", pio = { name = "switch", size = 1,
        write = function(dev) dev:request("poweroff") end } }, { iobase = 0x40, id = "switch" })
    local log, rip = {}, nil
    vm:on("state", {}, function(_, state, reason)
        log[#log + 1] = state .. ":" .. reason
    end)
    local resets = vm:on("state", { state = "reset" }, function(v)
        rip = v.cpus[1].rip
    end)
    vm:run()
    equal(rip, 0x1000, "the reset is done when it is told")
    equal(resets.hits, 1)
    equal(table.concat(log, " "),
        "resume: reset:triple-fault shutdown:/machine/peripheral/switch exit:poweroff")
    vm:reset()
    equal(log[#log], "reset:user")
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

--- The machine's memory at 0x1000, as long as the code.
local function bytes(vm, code)
    return vm.memory:read_bytes(0x1000, #code)
end

conform("software breakpoints are in nobody's memory", { "hook.exec" }, function()
    local vm = program(counting)
    local before = vm:ram_sha256()
    vm:on("exec", { at = { LOOP, DEC + 1 } }, function() end)
    equal(bytes(vm, counting), counting)
    equal(vm:ram_sha256(), before)
    vm:on("exec", { at = STORE, skip = 4 }, function()
        equal(bytes(vm, counting), counting)
        return "stop"
    end)
    vm:run()
    equal(bytes(vm, counting), counting)
    vm:close()
end)

conform("code that is written anew keeps its hooks", { "hook.exec" }, function()
    -- 1000 mov cx, 2; 1003 nop; 1004 mov byte [0x1003], 0x40 (inc ax); 1009 dec cx; jnz 0x1003
    local code = "\xb9\x02\x00\x90\xc6\x06\x03\x10\x40\x49\x75\xf7" .. EXIT
    local vm = program(code)
    vm:on("exec", { at = { 0xe00, 0xe03 } }, function() end) -- takes the processor's breakpoints
    local seen = {}
    local h = vm:on("exec", { at = 0x1003 }, function(cpu)
        seen[#seen + 1] = ("%x"):format(vm.memory:read(0x1003, 1))
        if #seen == 1 then
            equal(cpu.rax & 0xffff, 0)
        end
    end)
    if backend == "kvm" then
        equal(h.means, "software")
    end
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    equal(table.concat(seen, " "), "90 40")
    equal(vm.memory:read(0x1003, 1), 0x40)
    vm:close()

    vm = program(code) -- by a script
    vm:on("exec", { at = { 0xe00, 0xe08 } }, function() end)
    h = vm:on("exec", { at = 0x1009 }, function()
        vm.memory:write(0x1009, 1, 0x90)
        vm.cpus[1].rcx = 1
    end)
    vm:on("exec", { at = 0x100a }, function(cpu)
        equal(cpu.rcx & 0xffff, 1, "the new instruction has been executed")
        cpu.rip = 0x100c
    end)
    run(vm)
    equal(h.hits, 1)
    equal(h.errors, 0)
    vm:close()
end)

conform("the guest's own INT3 is its own", { "hook.exec" }, function()
    -- 1000: int3; the handler of vector 3 ends with 1
    local vm = program("\x90\xcc" .. EXIT)
    vm.memory:write(3 * 4, 4, 0x1800)
    vm.memory:write_bytes(0x1800, "\xb0\x01\xe6\xf4")
    vm:on("exec", { at = { 0xe00, 0xe08 } }, function() end)
    local h = vm:on("exec", { at = 0x1001 }, function() end)
    run(vm)
    equal(h.hits, 1)
    equal(vm.exit_status, 3)
    equal(vm.memory:read(vm.cpus[1].rsp & 0xffff, 2), 0x1002, "it returns to what follows")
    vm:close()
end)

conform("PUSHF pushes what it would without a hook", { "hook.exec" }, function()
    local vm = program("\x9c\x58\xa3\x00\x20" .. EXIT) -- pushf; pop ax; mov [0x2000], ax
    vm:on("exec", { at = 0x1000 }, function() end)
    run(vm)
    equal(vm.memory:read(0x2000, 2), 2)
    vm:close()
end)

conform("a write that several hooks want, and one on code", { "hook.write.gva", "hook.exec" }, function()
    local vm = program(counting)
    local log = {}
    vm:on("write", { gva = { 0x2000, 0x5fff } }, function(offset, value)
        log[#log + 1] = ("a%x:%d"):format(offset, value)
        return value + 100
    end)
    vm:on("write", { gva = { 0x2001, 0x2800 } }, function(offset, value)
        log[#log + 1] = ("b%d:%d"):format(offset, value)
    end)
    local code = vm:on("write", { gva = { 0x1000, 0x1fff } }, function() end)
    local exec = vm:on("exec", { at = { LOOP, DEC } }, function() end)
    run(vm)
    equal(log[1] .. log[2], "a0:1b-1:101")
    equal(#log, 20)
    equal(code.hits, 0)
    equal(exec.hits, 1 + 30)
    equal(vm.memory:read(0x2000, 2), 110)
    vm:close()
end)

conform("a write hook that stops", { "hook.write.gva" }, function()
    local vm = program(counting)
    local h = vm:on("write", { gva = { 0x2000, 0x2fff } }, function(_, value)
        return value == 5 and "stop"
    end)
    vm:run()
    equal(vm.pause_reason, "hook")
    equal(vm.memory:read(0x2000, 2), 5)
    run(vm)
    equal(h.hits, 10)
    vm:close()
end)

conform("ten thousand hooks", { "hook.exec" }, function()
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

conform("an access that a hook was told of is complete when the machine stands still", {}, function()
    local uv = require "luv"
    local vm = program("\xe4\x80\x66\x43\xeb\xfa") -- 1000 in al, 0x80; 1002 inc ebx; 1004 jmp 1000
    local told, ram = 0, vm.machine:ram("passing", 4096)
    vm:on("pio", { port = 0x80 }, function()
        told = told + 1
    end)
    vm.cpus[1].rbx = 0
    for _ = 1, 100 do
        local done = false
        local timer <const> = uv.new_timer()
        timer:start(1, 0, function() -- the map of memory changes at the same moment: the guest has to be left
            timer:close()
            vm:batch(function()
                vm.memory:map(0x40000000, ram)
            end)
            vm:pause()
            ram:unmap()
            done = true
        end)
        vm:resume()
        perilune.wait(function()
            return done
        end)
        local cpu = vm.cpus[1]
        equal(cpu.rbx, cpu.rip == 0x1002 and told - 1 or told, ("rbx at 0x%x"):format(cpu.rip))
    end
    vm:close()
end)

conform("wrong filters teach", { "hook.exec", "deterministic" }, function()
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
    raises('none of pause, resume, exit, reset, shutdown; did you mean "pause"?',
        vm.on, vm, "state", { state = "pauze" }, f)
    raises("phase: a boolean is none of after, before", vm.on, vm, "pio", { port = 1, phase = true }, f)
    raises('needs "link" as an object, not a nil', vm.on, vm, "packet", {}, f)
    raises('needs "line" as an object, not a number', vm.on, vm, "irq", { line = 4 }, f)
    raises('needs "device" as an object, not a string', vm.on, vm, "dma", { device = "e1000" }, f)
    raises('needs "device" as an object, not a cpu 0', vm.on, vm, "read", { device = vm.cpus[1], reg = "CTRL" }, f)
    equal(#vm:hooks(), 0)
    equal(vm:supports("hook.exec"), true)
    raises("there is no feature", vm.supports, vm, "hook.exe")
    vm:close()
end)

check.finish()
