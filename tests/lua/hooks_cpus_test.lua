-- Hooks and steps where there are two cpus, and where page tables change: docs/hooks.md, docs/kvm.md.
local backends = require "backends"
local bare = require "bare"
local check = require "check"

local equal, raises = check.equal, check.raises
local on_each = backends.on_each

local POINT, ROUNDS = 0x100b, 40
--- Both cpus execute this, the second one, which the first has started, with cs = 0x100.
local function counting(rounds)
    return "\x8c\xc8" ..                 -- 1000 mov ax, cs
    "\x85\xc0" ..                        -- 1002 test ax, ax
    "\x75\x02" ..                        -- 1004 jnz 0x1008
    "\xe6\x80" ..                        -- 1006 out 0x80, al: start the other
    "\xb9" .. ("<I2"):pack(rounds) ..    -- 1008 mov cx, rounds
    "\x40" ..                            -- 100b inc ax
    "\x49" ..                            -- 100c dec cx
    "\x75\xfc" ..                        -- 100d jnz 0x100b
    "\x8c\xcb" ..                        -- 100f mov bx, cs
    "\x89\x87\x00\x30" ..                -- 1011 mov [bx + 0x3000], ax
    "\xc6\x87\x02\x30\x01" ..            -- 1015 mov byte [bx + 0x3002], 1
    "\xa0\x02\x30" ..                    -- 101a mov al, [0x3002]
    "\x22\x06\x02\x31" ..                -- 101d and al, [0x3102]
    "\x74\xf7" ..                        -- 1021 jz 0x101a
    bare.EXIT
end

--- Two cpus. traps: exec hooks get none of the processor's breakpoints.
local function two(traps, rounds)
    local vm = backends.program(counting(rounds or ROUNDS), "pc",
        { memory = "16M", cpus = 2, irqchip = "user", nic = "none" })
    vm:on("pio", { port = 0x80, dir = "out" }, function()
        vm.memory:write(0xfee00300, 4, 0xc4500) -- INIT to all others, start-up at 0x1000
        vm.memory:write(0xfee00300, 4, 0xc4601)
    end)
    if traps then
        vm:on("exec", { at = { 0xe00, 0xe08 } }, function() end)
    end
    return vm
end

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    equal(vm.memory:read(0x3000, 2), ROUNDS)
    equal(vm.memory:read(0x3100, 2), 0x100 + ROUNDS)
end

on_each("two cpus meet one hook: it fires for each of them each time", function()
    for _, traps in ipairs { false, true } do
        local vm = two(traps)
        local seen = { [0] = 0, 0 }
        local h = vm:on("exec", { at = POINT }, function(cpu)
            seen[cpu.index] = seen[cpu.index] + 1
            equal(cpu.cs_base + cpu.rip, POINT)
            equal(cpu.rcx & 0xffff, ROUNDS + 1 - seen[cpu.index])
        end)
        run(vm)
        equal(seen[0], ROUNDS)
        equal(seen[1], ROUNDS)
        equal(h.errors, 0)
        vm:close()
    end
end)

on_each("two cpus come to one trap at the same time, again and again: none of them is caught in it", function()
    local rounds = 4000
    local vm = two(true, rounds)
    local h = vm:on("exec", { at = POINT }, function() end)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    equal(h.hits, 2 * rounds)
    equal(vm.memory:read(0x3000, 2), rounds)
    equal(vm.memory:read(0x3100, 2), 0x100 + rounds)
    vm:close()
end)

on_each("a hook on one cpu is none on the other", function()
    for _, traps in ipairs { false, true } do
        local vm = two(traps)
        local hits = { [0] = 0, 0 }
        for cpu = 0, 1 do
            vm:on("exec", { at = POINT, cpu = cpu }, function(c)
                equal(c.index, cpu)
                hits[cpu] = hits[cpu] + 1
            end)
        end
        local writes = vm:on("write", { gva = { 0x3100, 0x3fff }, cpu = 1 }, function() end)
        run(vm)
        equal(hits[0], ROUNDS)
        equal(hits[1], ROUNDS)
        equal(writes.hits, 2)
        equal(writes.errors, 0)
        vm:close()
    end
end)

on_each("a hook reads the code and the stack of its own cpu, and of no other that executes", function()
    local vm = two(false)
    local h = vm:on("exec", { at = POINT }, function(cpu)
        local other = vm.cpus[2 - cpu.index]
        equal(cpu:disas(nil, 1)[1].text, "inc ax")
        equal(cpu:backtrace(1)[1].rip, cpu.rip)
        for _, read in ipairs { other.disas, other.backtrace } do
            local ok, problem = pcall(read, other)
            equal(ok, backends.current == "soft", tostring(problem))
        end
    end)
    run(vm)
    equal(h.hits, 2 * ROUNDS)
    equal(h.errors, 0)
    vm:close()
end)

on_each("under KVM a step is the first cpu's, and the other one stands still", function()
    local vm = two(true)
    local other = vm.cpus[2]
    local stop = vm:on("exec", { at = POINT, cpu = 1, skip = ROUNDS // 2 }, function() return "stop" end)
    vm:run()
    equal(vm.pause_reason, "hook")
    equal(other.rip + other.cs_base, POINT)
    stop:remove()
    local rip, rcx, instructions = other.rip, other.rcx, vm.instructions
    for n = 1, 20 do
        vm:step(n % 3 + 1)
        equal(vm.pause_reason, "step", n)
        if backends.current == "kvm" then
            equal(other.rip, rip, n)
            equal(other.rcx, rcx, n)
        else
            instructions = instructions + n % 3 + 1
            equal(vm.instructions, instructions)
        end
    end
    run(vm)
    vm:close()
end)

on_each("any cpu can be stepped, and the others stand still", function()
    local vm = two(true)
    local first, second = vm.cpus[1], vm.cpus[2]
    raises("waits for its start-up", vm.step, vm, 1, second)
    local stop = vm:on("exec", { at = POINT, cpu = 1, skip = ROUNDS // 2 }, function() return "stop" end)
    vm:run()
    equal(vm.pause_reason, "hook")
    stop:remove()
    for _, pair in ipairs { { second, first }, { first, second } } do
        local steps, stands = pair[1], pair[2]
        local rip, rcx, rax, own = stands.rip, stands.rcx, stands.rax, { steps.rip, steps.rcx }
        for n = 1, 20 do
            vm:step(n % 3 + 1, steps)
            equal(vm.pause_reason, "step", n)
            equal(stands.rip, rip, n)
            equal(stands.rcx, rcx, n)
            equal(stands.rax, rax, n)
        end
        assert(steps.rip ~= own[1] or steps.rcx ~= own[2])
    end
    local rip = second.rip + second.cs_base
    local length = #second:disas(nil, 1)[1].bytes
    local text = second:disas(nil, 1)[1].text
    vm:step(1, second)
    assert(second.rip + second.cs_base == rip + length or text:find("^j") or text:find("^loop"), text)
    local other = two(false)
    raises("another machine", vm.step, vm, 1, other.cpus[1])
    other:close()
    run(vm)
    vm:close()
end)

-- Protected mode with 32-bit paging: page tables at 0x10000, 0x11000; linear page 0x5000 leads nowhere at first. What
-- is at 0x5010 is called twice: as memory page 0x2000, and as 0x3000.
local MOVED = 0x5010
local moving = "\xb8" .. ("<I2"):pack(MOVED) ..           -- 1000 mov ax, MOVED
    "\x66\xc7\x06\x14\x40\x03\x20\x00\x00" ..            -- 1003 mov dword [0x4014], 0x2003: the entry
    "\xe6\x80" ..                                        -- 100c out 0x80, al
    "\xff\xd0" ..                                        -- 100e call ax
    "\x66\xc7\x06\x14\x40\x03\x30\x00\x00" ..            -- 1010 mov dword [0x4014], 0x3003
    "\x0f\x20\xd9\x0f\x22\xd9" ..                        -- 1019 mov ecx, cr3; mov cr3, ecx
    "\xe6\x80" ..                                        -- 101f out 0x80, al
    "\xff\xd0" ..                                        -- 1021 call ax
    bare.EXIT

on_each("an address that is mapped later, and then elsewhere", function()
    for _, traps in ipairs { false, true } do
        local vm = backends.program(moving)
        local entries = {}
        for page = 0, 255 do
            entries[page + 1] = ("<I4"):pack(page == 5 and 0 or (page == 4 and 0x11 or page) << 12 | 3)
        end
        vm.memory:write_bytes(0x11000, table.concat(entries))
        vm.memory:write_bytes(0x10000, ("<I4"):pack(0x11003))
        vm.memory:write_bytes(0x2010, "\x42\xc3")         -- inc dx; ret
        vm.memory:write_bytes(0x3010, "\x90\x42\x42\xc3") -- nop; inc dx; inc dx; ret
        local cpu = vm.cpus[1]
        cpu.rsp, cpu.rdx, cpu.cr3 = 0x8000, 0, 0x10000
        cpu.cr0 = cpu.cr0 | 1 << 31 | 1
        if cpu.cr0 >> 31 & 1 == 0 then
            print("     skipped: this host's KVM takes no 32-bit page tables")
            vm:close()
            return
        end
        vm:on("pio", { port = 0x80 }, function() -- time in which addresses are looked up
            local start = os.clock()
            repeat until os.clock() - start > 0.01
        end)
        if traps then
            vm:on("exec", { at = { 0xe00, 0xe08 } }, function() end)
        end
        local seen = {}
        local h = vm:on("exec", { at = MOVED }, function(c)
            seen[#seen + 1] = ("%x:%d"):format(c.rip, c.rdx)
        end)
        if traps and backends.current == "kvm" then
            equal(h.means, "pending")
        end
        vm:run()
        equal(vm.exit_reason, "debug-exit")
        equal(table.concat(seen, " "), "5010:0 5010:1")
        equal(cpu.rdx, 3)
        if traps and backends.current == "kvm" then
            equal(h.means, "software")
        end
        equal(vm.memory:read(0x2010, 1) << 8 | vm.memory:read(0x3010, 1), 0x4290)
        vm:close()
    end
end)

check.finish()
