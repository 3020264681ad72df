-- A firewall in a packet hook: rules from a table, and every third frame that passes is lost.
-- Run it: perilune examples/firewall.lua [FILE.pcap]
--
--     drop    udp   53
--     pass    tcp   80
--     drop    tcp   23
--     pass    udp   67
--     lost    tcp  443
--     pass    tcp   22
--
-- Frames enter at one side of a hub; the hook is on the link at its other side, and the file has what
-- has come through. With a guest it would be vm.net.net0.link.
local rules <const> = {
    { protocol = "udp", port = 53, drop = true },
    { protocol = "tcp", port = 23, drop = true },
}
local numbers <const>, names <const> = { tcp = 6, udp = 17 }, { [6] = "tcp", [17] = "udp" }
local PROTOCOL <const>, PORTS <const> = 24, 35 -- in an IPv4 frame, from 1

local vm = perilune.machine("minimal", { cpus = 0, serial = "none" })
local m = vm.machine
local hub = m:hub "hub0"
local outside = m:link(m:netdev { type = "wire", id = "outside" }, hub:port())
local inside = m:link(hub:port(), m:netdev { type = "wire", id = "inside" })
local passed = 0

local function verdict(protocol, port)
    for _, rule in ipairs(rules) do
        if rule.protocol == protocol and rule.port == port and rule.drop then
            return "drop"
        end
    end
    passed = passed + 1
    return passed % 3 == 0 and "lost" or "pass"
end

vm:on("packet", { link = inside }, function(frame)
    local protocol = names[frame:byte(PROTOCOL)]
    local _, port = string.unpack(">I2I2", frame, PORTS)
    local what = verdict(protocol, port)
    print(("%s  %5s  %3d"):format(what, protocol, port))
    if what ~= "pass" then
        return false -- it goes no further
    end
end)
if arg[1] then
    m:dump(inside, arg[1])
end
for protocol, port in ("udp 53 tcp 80 tcp 23 udp 67 tcp 443 tcp 22"):gmatch "(%a+) (%d+)" do
    outside:send("outside", ("\0"):rep(12) .. "\8\0\x45" .. ("\0"):rep(8) .. string.char(numbers[protocol])
        .. ("\0"):rep(10) .. string.pack(">I2I2", 1024, math.tointeger(port)) .. ("\0"):rep(22))
end
vm:close()
