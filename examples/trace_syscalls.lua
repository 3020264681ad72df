-- Which files Linux opens, and when: a hook on a function of the kernel, by its name.
-- Run it: perilune examples/trace_syscalls.lua
--
--     1.421 s  /init
--     [...]
--     1.425 s  /proc/cmdline
--     1.427 s  /var/log/wtmp
--     5 files opened; poweroff
--
-- Debian's kernel is stripped; Perilune finds the names in its image. A path is read as the kernel
-- would read it: through the page tables, from the argument in rsi.
local guest = require "guest"

local PAGE <const> = 4096

local vm = guest.linux "perilune.test=poweroff"
local opened = vm:on("exec", { at = "do_sys_openat2" }, function(cpu)
    local path = cpu:read(cpu.rsi, PAGE - cpu.rsi % PAGE)
    print(("%9.3f s  %s"):format(vm.clock.virtual.now / 1e9,
        path and path:match("^[^\0]*") or "(its page is not there yet)"))
end)
vm:run()
print(("%d files opened; %s"):format(opened.hits, vm.exit_reason))
vm:close()
