-- A network card is plugged into a Linux that runs, used, and pulled out again: the guest goes on.
-- Called as: hotplug.lua KERNEL INITRD. It prints what the guest said; hotplug.py reads that.
local kernel, initrd = arg[1], arg[2]

local vm = perilune.machine("pc", { memory = "256M", kernel = kernel, initrd = initrd, idle = "warp",
    accel = "soft", append = "console=ttyS0 quiet perilune.test=shell", serial = "ring",
    nic = "none", netdev = "user,id=u1" })
local serial = vm:chardevs()[1]
local card

--- What is typed, and what is done when the guest has said that it is through with it.
local steps = {
    { "for m in $(cat /lib/modules/order); do insmod $m; done", function()
        card = vm.machine:device("e1000", { id = "n1", addr = "04.0", netdev = "u1" })
    end },
    { "echo 1 > /sys/bus/pci/rescan; echo FOUND $(ls /sys/class/net) $(cat "
        .. "/sys/bus/pci/devices/0000:00:04.0/device)" },
    { "ifconfig eth0 10.0.2.15 up; sleep 3; ping -c 1 10.0.2.2 | grep received", function()
        print("REMOVED " .. tostring(card:remove()))
    end },
    { "ifconfig eth0 down; echo 1 > /sys/bus/pci/devices/0000:00:04.0/remove; echo LEFT "
        .. "$(ls /sys/class/net)", function()
        print("HANDLE " .. tostring(card))
        vm.machine:device("e1000", { id = "n1", addr = "04.0", netdev = "u1" })
    end },
    { "echo 1 > /sys/bus/pci/rescan; ifconfig eth0 10.0.2.15 up; sleep 3; "
        .. "ping -c 1 10.0.2.2 | grep received" },
    { "poweroff -f" },
}

local at, seen = 0, ""
local function type_next()
    at = at + 1
    if steps[at] then
        serial:write(steps[at][1] .. "; echo DO''NE\n")
    end
end
serial:on_output(function(text)
    seen = seen .. text
    if at == 0 and seen:find("# $") then
        seen = ""
        type_next()
    elseif seen:find("DONE\r?\n.*# $") then
        io.write(seen:gsub("\r", ""), "\n")
        seen = ""
        local act = steps[at][2]
        if act then
            act()
        end
        type_next()
    end
end)
vm:run()
io.write(seen:gsub("\r", ""), "\n")
print("ENDED " .. vm.exit_reason)
