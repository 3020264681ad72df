-- A watchdog: unless it is kicked in time it first interrupts, and half a period later resets the
-- machine.
--
--   PERIOD   in microseconds of virtual time
--   CONTROL  bit 0 runs; once set it stays until reset, as watchdogs do
--   KICK     writing 0x5a starts the period anew
--   STATUS   bit 0 the first stage has expired (write 1 clears)
local KICK <const> = 0x5a

local function start(dev)
    dev:timer("expire"):set(dev.regs.PERIOD * 1000)
    dev:timer("bite"):cancel()
    dev:irq(0, 0)
end

return device.define {
    name = "edu-watchdog",
    desc = "a watchdog in two stages, written in Lua",
    irqs = 1,
    props = {
        action = { "enum", "reset", values = { "reset", "poweroff", "pause", "none" },
            help = "what happens when nobody kicks it" },
    },
    state = { bites = "u32" },
    mmio = { name = "edu-watchdog", size = 0x10 },
    registers = {
        { name = "PERIOD", offset = 0x0, rw = 0xffffffff, reset = 1000000 },
        { name = "CONTROL", offset = 0x4, w1s = 1, write = function(dev, value)
            if value & 1 == 1 and not dev:timer("expire"):deadline() then
                start(dev)
            end
        end },
        { name = "KICK", offset = 0x8, wo = 0xff, write = function(dev, value)
            if value == KICK and dev.regs.CONTROL & 1 == 1 then
                start(dev)
            end
        end },
        { name = "STATUS", offset = 0xc, w1c = 1 },
    },
    timers = {
        expire = function(dev)
            dev.regs.STATUS = 1
            dev:irq(0, 1)
            dev:timer("bite"):set(dev.regs.PERIOD * 500)
        end,
        bite = function(dev)
            dev.bites = dev.bites + 1
            if dev.props.action ~= "none" then
                dev:request(dev.props.action)
            end
        end,
    },
}
