-- A magic packet wakes a Linux that sleeps (suspend to idle): the card's PME# is a general purpose event
-- of the ACPI's, whose interrupt ends the sleep. Called as: wake.lua KERNEL INITRD, with ethtool in the
-- latter. wake.py reads what it prints.
local kernel, initrd = arg[1], arg[2]

local vm = perilune.machine("pc", { memory = "256M", kernel = kernel, initrd = initrd, idle = "warp",
    accel = "soft", append = "console=ttyS0 no_console_suspend perilune.test=shell", serial = "ring",
    nic = "user" })
local link = vm:links()[1]
local MAC <const> = "\x52\x54\x00\x12\x34\x56"
local TO_IT <const> = MAC .. "\x52\x55\x0a\x00\x02\x02"

local function to_guest(frame)
    link:send(link.ports[2], TO_IT .. frame)
end

local function run(words)
    vm:send(words .. "; echo DO''NE\n")
    return vm:wait_serial("DONE", "30s")
end

vm:wait_serial("/root # ", "30s")
run("for m in $(cat /lib/modules/order); do insmod $m; done; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up")
io.write(run("ethtool -s eth0 wol g; grep PCI0 /proc/acpi/wakeup"), "\n")
vm:send("echo freeze >/sys/power/state; echo AWA''KE\n")
vm:wait_serial("Freezing remaining freezable tasks completed", "30s")
vm:wait_time("3s")
to_guest("\x08\x00" .. ("\0"):rep(60))
print("by another packet: " .. tostring((pcall(vm.wait_serial, vm, "AWAKE", "5s"))))
to_guest("\x08\x42" .. ("\xff"):rep(6) .. MAC:rep(16))
print("by magic: " .. tostring((pcall(vm.wait_serial, vm, "AWAKE", "5s"))))
io.write(run("echo events $(cat /sys/firmware/acpi/interrupts/gpe0B); sleep 3; ping -c 1 10.0.2.2"), "\n")
vm:send("poweroff -f\n")
vm:run()
print("ended: " .. vm.exit_reason)
