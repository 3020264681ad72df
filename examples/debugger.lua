-- A debugger in Lua: stop at an address, look, step, change a register, go on.
-- Run it: perilune examples/debugger.lua
--
--     at 0x1003 after 1 instructions
--       1003  add ax, cx       rax 0    rcx 1000
--       1005  dec cx           rax 1000 rcx 1000
--       1006  jnz 0x1003       rax 1000 rcx 999
--     now rcx is made 1
--     debug-exit with rax 1001 after 9 instructions
local guest = require "guest"

local vm = guest.bare("\xb9\xe8\x03" -- 1000 mov cx, 1000
    .. "\x01\xc8\x49\x75\xfb"        -- 1003 next: add ax, cx; dec cx; jnz next
    .. "\x90\xe6\xf4")               -- 1008 nop; out 0xf4, al

local cpu = vm:wait_exec(0x1003)
print(("at %#x after %d instructions"):format(cpu.rip, cpu.instructions))
for _ = 1, 3 do
    local i = cpu:disas(nil, 1)[1]
    print(("  %x  %-16s rax %-4d rcx %d"):format(i.addr, i.text, cpu.rax, cpu.rcx))
    vm:wait_insn(1)
end
print "now rcx is made 1"
cpu.rcx = 1
vm:run()
print(("%s with rax %d after %d instructions"):format(vm.exit_reason, cpu.rax, vm.instructions))
vm:close()
