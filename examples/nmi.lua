-- Non-maskable interrupts from outside: three in three milliseconds, for a program that waits.
-- Run it: perilune examples/nmi.lua
--
--     1000000 ns: NMI at rip 0x100d
--     2000000 ns: NMI at rip 0x100d
--     3000000 ns: NMI at rip 0x100d
--     the guest wrote NNN; debug-exit
local guest = require "guest"

local vm = guest.bare("\xc7\x06\x08\x00\x0f\x10" -- 1000 vector 2: the handler's offset
    .. "\xc7\x06\x0a\x00\x00\x00"                -- 1006 and segment
    .. "\xf4\xeb\xfd"                            -- 100c hlt, for ever
    .. "\xba\xf8\x03\xb0N\xee"                   -- 100f the handler: mov dx, 0x3f8; out dx, 'N'
    .. "\x41\x83\xf9\x03\x74\x01\xcf"            -- 1015 inc cx; cmp cx, 3; je done; iret
    .. "\xb0\x00\xe6\xf4")                       -- 101c done: mov al, 0; out 0xf4, al
vm:every("1ms", function()
    local cpu = vm.cpus[1]
    print(("%d ns: NMI at rip %#x"):format(vm.clock.virtual.now, cpu.rip))
    cpu:nmi()
end)
vm:run()
print(("the guest wrote %s; %s"):format(vm:chardev("serial0"):read(), vm.exit_reason))
vm:close()
