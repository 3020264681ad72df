-- Which instructions of a program are executed, and how often: a hook on a range of addresses.
-- Run it: perilune examples/coverage.lua
--
--         1  00001000  mov cx, 0x05
--         5  00001003  test cl, 0x01
--     [...]
--     never  00001016  hlt
--     [...]
--     12 of 13 instructions executed
local guest = require "guest"

local START <const> = 0x1000
local program = "\xb9\x05\x00" -- 1000 mov cx, 5
    .. "\xf6\xc1\x01\x74\x04"  -- 1003 again: test cl, 1; jz even
    .. "\x01\xc8\xeb\x02"      -- 1008 add ax, cx; jmp next
    .. "\x29\xc8"              -- 100c even: sub ax, cx
    .. "\x49\x75\xf2"          -- 100e next: dec cx; jnz again
    .. "\x83\xf8\x64\x72\x01"  -- 1011 cmp ax, 100; jb done
    .. "\xf4"                  -- 1016 hlt
    .. "\xb0\x00\xe6\xf4"      -- 1017 done: mov al, 0; out 0xf4, al

local vm = guest.bare(program)
local hits = {}
vm:on("exec", { at = { START, START + #program - 1 } }, function(cpu)
    hits[cpu.rip] = (hits[cpu.rip] or 0) + 1
end)
local listing = vm.cpus[1]:disas(START, #program) -- as many as there could be
vm:run()

local all, executed = 0, 0
for _, i in ipairs(listing) do
    if i.addr < START + #program then
        all, executed = all + 1, executed + (hits[i.addr] and 1 or 0)
        print(("%5s  %08x  %s"):format(hits[i.addr] or "never", i.addr, i.text))
    end
end
print(("%d of %d instructions executed"):format(executed, all))
vm:close()
