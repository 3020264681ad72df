-- Debian's kernel unpacks and moves itself: hooks on its symbols, and on those of a module, find it.
-- Called as: kaslr.lua KERNEL INITRD. It prints what it sees; kaslr.py reads that.
local kernel, initrd = arg[1], arg[2]

local vm = perilune.machine("pc", { memory = "512M", kernel = kernel, initrd = initrd, idle = "warp",
    append = "console=ttyS0 panic=-1 perilune.test=ping perilune.ip=10.0.2.15 perilune.peer=10.0.2.2",
    accel = "soft", serial = "ring", nic = "user", boot = { decompress = "guest" } })

local first = vm:on("exec", { at = "x86_64_start_kernel" }, function(cpu)
    print("FIRST", vm:symbolize(cpu.rip))
end)
local opens = vm:on("exec", { at = "do_sys_openat2" }, function(cpu)
    print("OPEN", cpu:string(cpu.rsi))
end)
print("PENDING", first.pending, opens.pending)

local probe
vm:on("exec", { at = "do_init_module" }, function()
    for _, m in ipairs(vm:load_modules()) do
        print("MODULE", m.name, m.count)
    end
    probe = probe or vm:on("exec", { at = "e1000_probe" }, function(cpu)
        print("PROBE", vm:symbolize(cpu.rip + 4))
        local frames, why = cpu:backtrace()
        for _, f in ipairs(frames) do
            print("FRAME", f.name, f.method)
        end
        print("WHY", why)
        return "stop"
    end)
end)
vm:run()
print("STOPPED", vm.state, probe.hits)
print("SLIDE", ("0x%x"):format(vm.symbols.slide), vm.symbols.slide == vm:find_slide())
vm:reset()
print("RESET", first.pending, opens.pending, probe.pending, vm.symbols.slide)
print("GONE", pcall(vm.symbol, vm, "e1000_probe"))
vm:close()
