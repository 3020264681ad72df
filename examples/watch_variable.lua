-- Who changes a variable of Linux: each write to `system_state`, with the calls that led there.
-- Run it: perilune examples/watch_variable.lua
--
--     0.139 s  scheduling      rest_init < arch_call_rest_init < start_kernel
--     1.289 s  freeing initmem kernel_init < ret_from_fork
--     1.421 s  running         kernel_init < ret_from_fork
--     1.427 s  power off       kernel_power_off < __do_sys_reboot < do_syscall_64
--     poweroff
local guest = require "guest"

local states <const> = { [0] = "booting", "scheduling", "freeing initmem", "running", "halt", "power off" }

local DEPTH <const> = 3 -- calls that are shown

local vm = guest.linux "perilune.test=poweroff"
vm:on("write", { gva = "system_state", size = 4 }, function(_, value, _, cpu)
    local calls = {}
    for _, frame in ipairs((cpu:backtrace(DEPTH))) do
        calls[#calls + 1] = (frame.name or "?"):match("^[^+]+")
    end
    print(("%9.3f s  %-15s %s"):format(vm.clock.virtual.now / 1e9, states[value] or value,
        table.concat(calls, " < ")))
end)
vm:run()
print(vm.exit_reason)
vm:close()
