-- The first instruction after which two runs differ, and in what.
-- Run it: perilune examples/compare_runs.lua
--
--     after 2021 instructions, at rip 0x1003: rax is 0x1c33 in one run and 0x1c37 in the other
--
-- The second run has one bit flipped. For long runs compare coarsely first: `every = 1000000`.
local guest = require "guest"

local program = "\xb9\xe8\x03" -- 1000 mov cx, 1000
    .. "\x01\xc8\xd1\xc0"      -- 1003 next: add ax, cx; rol ax, 1
    .. "\xa3\x00\x20\xe2\xf7"  -- 1007 mov [0x2000], ax; loop next
    .. "\xb0\x00\xe6\xf4"      -- 100c mov al, 0; out 0xf4, al
local registers <const> = { "rip", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "rflags" }

--- A run: per instruction, what all registers hold.
local function record(flip_at)
    local vm = guest.bare(program)
    local states = {}
    if flip_at then
        vm:on("insn", { at = flip_at }, function(cpu) cpu.rax = cpu.rax ~ 4 end)
    end
    vm:on("insn", { every = 1 }, function(cpu)
        local state = {}
        for n, register in ipairs(registers) do
            state[n] = cpu[register]
        end
        states[#states + 1] = state
    end)
    vm:run()
    vm:close()
    return states
end

local one, other = record(), record(2021)
for n, state in ipairs(one) do
    for r, value in ipairs(state) do
        if value ~= other[n][r] then
            print(("after %d instructions, at rip %#x: %s is %#x in one run and %#x in the other")
                :format(n, state[1], registers[r], value, other[n][r]))
            return
        end
    end
end
print "no difference"
