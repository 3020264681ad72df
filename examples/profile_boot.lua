-- Where a boot of Linux spends its time: rip is sampled every million instructions, and named.
-- Run it: perilune examples/profile_boot.lua
--
--     33.1%  mpihelp_submul_1
--     17.0%  mpihelp_addmul_1
--     [...]
--     1427 samples, 166 functions; poweroff
--
-- Ten functions in all. These two are Debian's kernel verifying the signatures of certificates. The run
-- can be repeated, and so can the profile.
local guest = require "guest"

local vm = guest.linux "perilune.test=poweroff"
local samples, total = {}, 0
vm:on("insn", { every = 1000000 }, function(cpu)
    local name = vm.symbols:name(cpu.rip)
    name = name and name:match("^[^+]+") or "user programs"
    samples[name] = (samples[name] or 0) + 1
    total = total + 1
end)
vm:run()

local names = {}
for name in pairs(samples) do
    names[#names + 1] = name
end
table.sort(names, function(a, b)
    return samples[a] > samples[b] or samples[a] == samples[b] and a < b
end)
for n = 1, 10 do
    print(("%5.1f%%  %s"):format(100 * samples[names[n]] / total, names[n]))
end
print(("%d samples, %d functions; %s"):format(total, #names, vm.exit_reason))
vm:close()
