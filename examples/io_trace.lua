-- Every access to a port, with the name of what answers there: a hook on all ports.
-- Run it: perilune examples/io_trace.lua
--
--     out   70 1        a  rtc-index
--     in    71 1       26  rtc
--     [...]
--     out  cf8 4 80000800  pci-conf-idx
--     in   cfc 4 70008086  pci-conf-data
--     [...]
--
-- The guest reads a register of the clock, counter 2 of the timer, and who made the south bridge.
local guest = require "guest"

local vm = guest.bare("\xb0\x0a\xe6\x70\xe4\x71"       -- mov al, 10; out 0x70, al; in al, 0x71
    .. "\xb0\x80\xe6\x43\xe4\x42\xe4\x42"              -- mov al, 0x80; out 0x43, al; in al, 0x42; twice
    .. "\x66\xb8\x00\x08\x00\x80\xba\xf8\x0c\x66\xef"  -- mov eax, 0x80000800; out 0xcf8, eax
    .. "\xba\xfc\x0c\x66\xed"                          -- in eax, 0xcfc
    .. "\xb0\x00\xe6\xf4", "pc")                 -- mov al, 0; out 0xf4, al
local ranges = vm.io:flat().ranges

local function name(port)
    for _, range in ipairs(ranges) do
        if port >= range.start and port <= range.last then
            return range.name
        end
    end
    return "nobody"
end

vm:on("pio", { port = { 0, 0xffff } }, function(port, value, size, dir)
    print(("%-3s %4x %d %8x  %s"):format(dir, port, size, value, name(port)))
end)
vm:run()
print(vm.exit_reason)
vm:close()
