-- Debian's kernel unpacks and moves itself: hooks and faults on its symbols, and on those of a module that comes and
-- goes, find them by themselves. Called as: kaslr.lua KERNEL INITRD. It prints what it sees; kaslr.py reads that.
local fault = require "perilune.fault"
local kernel, initrd = arg[1], arg[2]

local vm = perilune.machine("pc", { memory = "512M", kernel = kernel, initrd = initrd, idle = "warp",
    append = "console=ttyS0 panic=-1 perilune.test=shell",
    accel = "soft", serial = "ring", nic = "user", boot = { decompress = "guest" } })

local first = vm:on("exec", { at = "x86_64_start_kernel" }, function(cpu)
    print("FIRST", vm:symbolize(cpu.rip))
end)
local opens = vm:on("exec", { at = "do_sys_openat2" }, function(cpu)
    print("OPEN", cpu:string(cpu.rsi))
end)
print("UNKNOWN", pcall(vm.on, vm, "exec", { at = "e1000_probe" }, print))
local loaded
local probe = vm:on("exec", { at = "e1000_probe", pending = true }, function(cpu)
    print("PROBE", vm:symbolize(cpu.rip + 4))
    local frames, why = cpu:backtrace()
    for _, f in ipairs(frames) do
        print("FRAME", f.name, f.method)
    end
    print("WHY", why)
    return loaded and "stop" or nil
end)
-- The name by which the driver registers itself.
local name = fault.inject(vm, { target = "ram", symbol = "e1000_driver_name", pending = true, effect = "set",
    value = ("E"):byte() })
print("PENDING", first.pending, opens.pending, probe.pending, name.pending and true)

vm:task(function()
    local function shell(command)
        vm:send(command .. "; echo DO''NE\n")
        return vm:wait_serial("DONE", "60s")
    end
    vm:wait_serial("/root # ", "60s")
    opens:remove()
    shell "for m in $(cat /lib/modules/order); do insmod $m; done"
    print("LOADED", probe.pending, probe.hits, name.hits)
    print("DRIVER", shell("ls /sys/bus/pci/drivers | grep -i e1000"):match("E1000"))
    shell "rmmod e1000"
    print("UNLOADED", probe.pending, probe.hits, pcall(vm.symbol, vm, "e1000_probe"))
    loaded = true
    shell "for m in $(cat /lib/modules/order); do insmod $m; done"
end)
vm:run()
print("AGAIN", probe.pending, probe.hits)
print("STOPPED", vm.state, ("0x%x"):format(vm.symbols.slide), vm.symbols.slide == vm:find_slide())
vm:reset()
print("RESET", first.pending, probe.pending, vm.symbols.slide)
vm:close()
