-- Exceptions, NMIs, machine checks and stalls from a script: docs/hooks.md, "Disturbing a cpu".
local check = require "check"
local monitor = require "perilune.monitor"
local uv = require "luv"

local equal, raises = check.equal, check.raises

local function out(status)
    return "\xb0" .. string.char(status) .. "\xe6\xf4\xeb\xfe" -- mov al, status; out 0xf4, al; jmp $
end

--- Real-mode code at 0x1000; handlers = { [vector] = code } at 0x4000 + 32 * vector.
local function program(code, handlers, accel)
    local vm = perilune.machine("minimal", { idle = not accel and "warp" or nil, accel = accel })
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, code)
        for vector, handler in pairs(handlers or {}) do
            vm.memory:write(vector * 4, 4, 0x4000 + 32 * vector)
            vm.memory:write_bytes(0x4000 + 32 * vector, handler)
        end
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip, cpu.rsp = 0, 0, 0x1000, 0x3000
    end)
    vm:reset()
    return vm, vm.cpus[1]
end

local function ends(vm, status)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
    equal(vm.exit_status >> 1, status)
end

local HLT, NOPS, INC = "\xf4", "\x90\x90", "\x40"

check.case("an exception comes before the next instruction", function()
    local vm, cpu = program(NOPS .. INC .. out(1), { [6] = out(6) })
    vm:on("exec", { at = 0x1002 }, function()
        cpu:inject(6)
        raises("exception 6 waits", cpu.inject, cpu, 5)
    end)
    ends(vm, 6)
    equal(cpu.rax, 0x06)
    equal(vm.memory:read(0x3000 - 6, 2), 0x1002, "return address")
    vm:close()
end)

check.case("a cpu that executes is neither looked at nor disturbed from outside of it", function()
    local vm, cpu = program("\xeb\xfe") -- jmp $
    local timer, seen = uv.new_timer(), 0
    timer:start(0, 0, function()
        for _, f in ipairs { cpu.inject, cpu.mce, cpu.state, cpu.stall, cpu.disas, vm.find_slide } do
            raises("cpu 0 is running: pause the machine first", f, f == vm.find_slide and vm or cpu, 6)
            seen = seen + 1
        end
        timer:close()
        vm:pause()
    end)
    vm:run()
    equal(seen, 6)
    vm:close()
end)

check.case("the instruction is executed when the handler returns", function()
    local vm, cpu = program(NOPS .. INC .. out(1), { [13] = "\x43\xcf" }) -- inc bx; iret
    local seen
    vm:on("insn", { at = 1 }, function()
        cpu:inject(13, 0x50) -- real mode pushes no error code
    end)
    vm:on("exception", {}, function(_, vector, code)
        seen = vector .. ":" .. code
    end)
    ends(vm, 1)
    equal(cpu.rbx, 1)
    equal(seen, "13:80")
    vm:close()
end)

check.case("an exception and an NMI end a halt, and both work while paused", function()
    local vm, cpu = program(HLT .. out(1), { [0] = out(10), [2] = out(12) })
    cpu:inject(0)
    ends(vm, 10)
    vm:reset()
    vm:at(1000, function()
        cpu:inject(0)
    end)
    ends(vm, 10)
    equal(vm.memory:read(0x3000 - 6, 2), 0x1001)
    vm:reset()
    cpu:nmi()
    ends(vm, 12)
    vm:close()
end)

check.case("after an IRET the next NMI comes, also one that waited for it", function()
    local vm, cpu = program(HLT .. "\xeb\xfd", { [2] = INC .. "\x3c\x03\x74\x01\xcf" .. out(3) })
    vm:at(1000, function()
        cpu:nmi()
    end)
    vm:on("exec", { at = 0x4040, skip = 1 }, function()
        cpu:nmi() -- in the second handler: waits until that returns
    end)
    vm:at(2000, function()
        cpu:nmi()
    end)
    vm:at(3000, function()
        vm:stop("no NMI")
    end)
    ends(vm, 3)
    vm:close()
end)

check.case("a reset forgets what waits", function()
    local vm, cpu = program(NOPS .. out(1), { [0] = out(10), [18] = out(18) })
    cpu:inject(0)
    cpu.cr4 = cpu.cr4 | 0x40
    cpu:mce {}
    cpu:stall(1000)
    equal(cpu.stalled, true)
    vm:reset()
    equal(cpu.stalled, false)
    ends(vm, 1)
    vm:close()
end)

local function rdmsr(index, to) -- mov ecx, index; rdmsr; mov [to], eax; mov [to + 4], edx
    return "\x66\xb9" .. ("<I4"):pack(index) .. "\x0f\x32" .. "\x66\xa3" .. ("<I2"):pack(to) ..
        "\x66\x89\x16" .. ("<I2"):pack(to + 4)
end

local UC, EN, OVER = 1 << 61, 1 << 60, 1 << 62

check.case("a machine check fills its bank and raises #MC", function()
    local vm, cpu = program(NOPS .. out(1),
        { [18] = rdmsr(0x405, 0x2000) .. rdmsr(0x406, 0x2008) .. rdmsr(0x17a, 0x2010) })
    vm.memory:write_bytes(0x4000 + 32 * 18 + 51, out(18))
    cpu.cr4 = cpu.cr4 | 0x40
    vm:on("insn", { at = 1 }, function()
        cpu:mce { bank = 1, status = UC | EN | 0x150, addr = 0x12345000 }
    end)
    ends(vm, 18)
    equal(vm.memory:read(0x2000, 8), math.mininteger | UC | EN | 0x150)
    equal(vm.memory:read(0x2008, 8), 0x12345000)
    equal(vm.memory:read(0x2010, 8), 5) -- MCIP, RIPV
    vm:close()
end)

check.case("corrected errors are only logged; an uncorrected one is not overwritten", function()
    local vm, cpu = program(NOPS .. rdmsr(0x401, 0x2000) .. rdmsr(0x179, 0x2008) .. out(1),
        { [18] = out(18) })
    cpu.cr4 = cpu.cr4 | 0x40
    cpu:mce { status = EN | 1 }
    cpu:mce { status = UC | 2 } -- not enabled: logged over the lesser one
    cpu:mce { status = EN | 3 }
    ends(vm, 1)
    equal(vm.memory:read(0x2000, 8), math.mininteger | OVER | UC | 2)
    equal(vm.memory:read(0x2008, 8) & 0xff, 4)
    raises("there is no bank 4", cpu.mce, cpu, { bank = 4 })
    raises('did you mean "bank"', cpu.mce, cpu, { bnk = 4 })
    vm:close()
end)

check.case("without CR4.MCE, or while one is in progress, the cpu shuts down", function()
    local vm = perilune.machine("minimal", { idle = "warp", reboot = false })
    vm:reset()
    local cpu = vm.cpus[1]
    cpu:mce {}
    vm:run()
    equal(vm.exit_reason, "triple-fault")
    vm:reset()
    cpu.cr4 = cpu.cr4 | 0x40
    cpu:mce { bank = 1 }
    cpu:mce { bank = 2 }
    vm:run()
    equal(vm.exit_reason, "triple-fault")
    vm:close()
end)

check.case("commands of the monitor", function()
    local vm, cpu = program(NOPS .. out(1), { [2] = out(2), [18] = out(18) })
    rawset(_G, "vm", vm)
    monitor.commands.nmi()
    ends(vm, 2)
    vm:reset()
    cpu.cr4 = cpu.cr4 | 0x40
    monitor.execute("mce 0 2 0xb000000000000005 5 0x1000")
    ends(vm, 18)
    local text, ok = monitor.execute("mce 7 0 0")
    equal(ok, false)
    equal(text:find("there is no cpu 7", 1, true) ~= nil, true)
    rawset(_G, "vm", nil)
    vm:close()
end)

check.case("a stall: time goes on, instructions do not, interrupts wait", function()
    local function run(stall)
        local vm, cpu = program(NOPS .. INC:rep(20) .. out(1), { [2] = "\x43\xcf" })
        local log = {}
        if stall then
            vm:on("exec", { at = 0x1005 }, function()
                if #log == 0 then
                    cpu:stall(1000)
                    log[1] = cpu.rax
                end
            end)
            vm:at(500, function()
                cpu:nmi()
                log[2] = ("%d %d %s"):format(cpu.rax, vm.clock.virtual.now, cpu.stalled)
            end)
            vm:on("exception", { vector = 2 }, function()
                log[3] = vm.clock.virtual.now
            end)
        end
        ends(vm, 1)
        local n, now = vm.instructions, vm.clock.virtual.now
        vm:close()
        return n, now, log
    end
    local n0, t0 = run(false)
    local n1, t1, log = run(true)
    local n2, t2 = run(true)
    equal(log[1], 3)
    equal(log[2], "3 500 true")
    equal(n1 - n0, 3) -- the delivery of the NMI, inc, iret
    equal(t1 - t0, 1000 + 3)
    equal(n1, n2)
    equal(t1, t2)
end)

check.case("a machine that is paused while it stalls goes on stalling", function()
    local vm, cpu = program(NOPS .. out(1))
    cpu:stall(1000)
    vm:at(300, function()
        return "stop"
    end)
    vm:run()
    equal(vm.state, "paused")
    equal(vm.instructions, 0)
    equal(cpu.stalled, true)
    ends(vm, 1)
    equal(vm.clock.virtual.now, 1000 + vm.instructions)
    vm:close()
end)

check.case("a skewed TSC gains on virtual time from then on, and keeps what it gained", function()
    local RDTSC = "\x0f\x31\x66\xa3" -- rdtsc; mov [...], eax
    local loop = "\xb9\xe8\x03\xe2\xfe" -- mov cx, 1000; loop $
    local code = RDTSC .. "\x00\x20" .. loop .. RDTSC .. "\x04\x20" .. loop .. RDTSC .. "\x08\x20"
    local function run(ppm)
        local vm, cpu = program(code .. out(1))
        if ppm then
            cpu:skew(ppm)
            vm:on("exec", { at = 0x1011 }, function() -- before the second loop
                cpu:skew(0)
            end)
        end
        ends(vm, 1)
        local t = {}
        for i = 1, 3 do
            t[i] = vm.memory:read(0x1ffc + 4 * i, 4)
        end
        local instructions = vm.instructions
        vm:close()
        return t[2] - t[1], t[3] - t[2], instructions
    end
    local first, second, n = run()
    local fast, after, m = run(500000)
    equal(fast, first + first // 2)
    equal(math.abs(after - second) <= 2, true)
    equal(n, m)
    equal((run(-500000)), first - first // 2)
end)

check.case("on KVM: an exception, an NMI, a stall", function()
    local there, vm, cpu = pcall(program, NOPS .. out(1), { [2] = out(2), [6] = out(6) }, "kvm")
    if not there then
        print("skipped: " .. tostring(vm))
        return
    end
    cpu:inject(6)
    ends(vm, 6)
    vm:reset()
    cpu:nmi()
    ends(vm, 2)
    vm:reset()
    cpu:stall(1000000)
    ends(vm, 1)
    equal(vm.clock.virtual.now >= 1000000, true)
    for _, name in ipairs { "inject", "nmi", "mce", "stall" } do
        equal(vm:supports(name), true, name)
    end
    equal(vm:supports("skew"), false)
    raises("skew", cpu.skew, cpu, 1000)
    vm:close()
end)

check.case("on KVM: a machine check, in a bank that the guest has enabled", function()
    -- mov ecx, 0x404; mov eax, -1; mov edx, eax; wrmsr; out 0x80, al
    local code = "\x66\xb9\x04\x04\x00\x00\x66\xb8\xff\xff\xff\xff\x66\x89\xc2\x0f\x30\xe6\x80"
    local there, vm, cpu = pcall(program, code .. NOPS .. out(1),
        { [18] = rdmsr(0x405, 0x2000) .. rdmsr(0x406, 0x2008) .. out(18) }, "kvm")
    if not there then
        print("skipped: " .. tostring(vm))
        return
    end
    cpu.cr4 = cpu.cr4 | 0x40
    vm:on("pio", { port = 0x80 }, function()
        cpu:mce { bank = 1, status = UC | EN | 0x150, addr = 0x12345000 }
    end)
    ends(vm, 18)
    equal(vm.memory:read(0x2000, 8), math.mininteger | UC | EN | 0x150)
    equal(vm.memory:read(0x2008, 8), 0x12345000)
    raises("bank 200", cpu.mce, cpu, { bank = 200 })
    vm:close()
end)

check.case("wrong use teaches", function()
    local vm, cpu = program(NOPS .. out(1))
    raises("use cpu:nmi()", cpu.inject, cpu, 2)
    raises("0 to 31", cpu.inject, cpu, 32)
    raises("no error code", cpu.inject, cpu, 6, 1)
    raises("not negative", cpu.stall, cpu, -1)
    raises("parts per million", cpu.skew, cpu, -1000000)
    raises("there are no disks yet", vm.on, vm, "block", {}, function() end)
    for _, name in ipairs { "inject", "nmi", "mce", "stall", "skew" } do
        equal(vm:supports(name), true)
    end
    vm:close()
end)

check.finish()
