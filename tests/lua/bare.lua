-- Bare-metal programs for tests: real-mode code at 0x1000 of machine "minimal", data segment at 0.
local M = {}

M.EXIT = "\xb0\x00\xe6\xf4\xeb\xfe" -- mov al, 0; out 0xf4, al; jmp $

-- Ten rounds of: increment ax, store it at 0x2000.
M.LOOP, M.INC, M.STORE, M.DEC = 0x1000, 0x1003, 0x1004, 0x1007
M.counting = "\xb9\x0a\x00" .. -- 1000 mov cx, 10
    "\x40" ..                  -- 1003 inc ax
    "\xa3\x00\x20" ..          -- 1004 mov [0x2000], ax
    "\x49" ..                  -- 1007 dec cx
    "\x75\xf9" ..              -- 1008 jnz 0x1003
    M.EXIT

--- Returns a vm that will run the code. make: perilune.machine, or what takes its place.
function M.program(code, options, make)
    options = options or {}
    options.serial = options.serial or "ring"
    options.idle = options.idle or "warp"
    local vm = (make or perilune.machine)("minimal", options)
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, code)
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    return vm
end

return M
