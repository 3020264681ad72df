-- A command of one's own for the monitor: hexdump ADDR [COUNT].
-- Run it: echo 'hexdump 0xfff0 32' | perilune -M minimal --script examples/monitor_command.lua --monitor stdio -S
--
--     0000fff0  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
--     00010000  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
--
-- Without the echo there is a prompt; help and Tab know the command too. From Lua it is
-- require("perilune.monitor").commands.hexdump(0xfff0, 32).
local monitor = require "perilune.monitor"

local WIDTH <const> = 16

monitor.command {
    name = "hexdump",
    help = "physical memory, byte by byte",
    args = {
        { "addr", "value", help = "physical address" },
        { "count", "value", optional = true, help = "how many bytes; 64 without it" },
    },
    run = function(a)
        return { addr = a.addr, bytes = vm.memory:read_bytes(a.addr, a.count or 64) }
    end,
    show = function(dump)
        local lines = {}
        for from = 1, #dump.bytes, WIDTH do
            local line = dump.bytes:sub(from, from + WIDTH - 1)
            lines[#lines + 1] = ("%08x %s"):format(dump.addr + from - 1, line:gsub(".", function(c)
                return (" %02x"):format(c:byte())
            end))
        end
        return table.concat(lines, "\n")
    end,
}
