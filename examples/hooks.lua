-- Hooks on a small program: count, watch, flip a bit at an exact instruction, and see the difference.
-- Run it: perilune examples/hooks.lua
local program = "\xb9\xe8\x03" .. -- 1000 mov cx, 1000
    "\x01\xc8" ..                 -- 1003 next: add ax, cx
    "\xa3\x00\x20" ..             -- 1005 mov [0x2000], ax
    "\x49\x75\xf8" ..             -- 1008 dec cx; jnz next
    "\xb0\x00\xe6\xf4"            -- 100b mov al, 0; out 0xf4, al

local function run(flip_at)
    local vm = perilune.machine("minimal", { idle = "warp" })
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, program)
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()

    local additions = vm:on("exec", { at = 0x1003 }, function() end)
    local last
    vm:on("write", { gva = 0x2000, size = 2 }, function(_, value)
        last = value
    end)
    if flip_at then
        vm:on("insn", { at = flip_at }, function(cpu)
            print(("  at instruction %d, rip %#x: bit 3 of ax flips, %#x -> %#x"):format(
                cpu.instructions, cpu.rip, cpu.rax, cpu.rax ~ 8))
            cpu.rax = cpu.rax ~ 8
        end)
    end
    vm:run()
    print(("  %d additions, result %d, %d instructions"):format(additions.hits, last, vm.instructions))
    vm:close()
    return last
end

print "as it is:"
local golden = run(nil)
print "with a fault:"
local wrong = run(2001)
print "the same fault again:"
assert(run(2001) == wrong)
print(wrong ~= golden and "the fault shows, the same way each time" or "the fault is masked")
