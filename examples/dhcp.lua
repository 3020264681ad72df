-- A DHCP exchange of Linux: each message as a line, and all packets in a file for tshark.
-- Run it: perilune examples/dhcp.lua [FILE.pcap]
--
--     nic0  DISCOVER
--     net0  OFFER     10.0.2.15
--     nic0  REQUEST
--     net0  ACK       10.0.2.15
--     poweroff
--
-- The network is slirp's, which needs no privileges. A hook sees each frame on the link between card
-- and network; what it returns would go on in the frame's place.
local guest = require "guest"

local types <const> = { "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM" }
local UDP_PORTS <const>, YOUR_ADDRESS <const>, OPTIONS <const> = 35, 59, 283 -- in the frame, from 1

--- The number and the address of a DHCP message; nil for another frame.
local function dhcp(frame)
    if #frame < OPTIONS then
        return nil
    end
    local from, to = string.unpack(">I2I2", frame, UDP_PORTS)
    if from + to ~= 67 + 68 then
        return nil
    end
    local at = OPTIONS
    while at + 2 <= #frame and frame:byte(at) ~= 53 do -- option 53 is the message's type
        at = at + 2 + frame:byte(at + 1)
    end
    return frame:byte(at + 2), table.concat({ frame:byte(YOUR_ADDRESS, YOUR_ADDRESS + 3) }, ".")
end

local vm = guest.linux("perilune.test=shell", { nic = "user" .. (arg[1] and ",dump=" .. arg[1] or "") })
vm:on("packet", { link = vm.net.net0.link }, function(frame, from)
    local kind, address = dhcp(frame)
    if kind then
        print(("%s  %-9s %s"):format(from, types[kind], address ~= "0.0.0.0" and address or ""))
    end
end)
vm:wait_serial("/root # ", "60s")
vm:send("net-up\n")
vm:wait_serial("PERILUNE: lease", "60s")
vm:send("exit\n")
vm:run()
print(vm.exit_reason)
vm:close()
