-- A bank of general-purpose lines: outputs set by register, inputs that latch edges and interrupt.
--
--   OUT     what the outputs drive
--   SET     bits written as 1 go up
--   CLEAR   bits written as 1 go down
--   IN      what the inputs are driven to
--   EDGES   inputs that rose since they were cleared (write 1 clears)
--   ENABLE  edges that interrupt
local function drive(dev, out)
    local changed = dev.driven ~ out
    dev.driven = out
    dev.regs.OUT = out
    for n = 0, dev.props.lines - 1 do
        if changed >> n & 1 == 1 then
            dev:gpio("out", n, out >> n & 1)
        end
    end
end

local function update(dev)
    dev:irq(0, dev.regs.EDGES & dev.regs.ENABLE ~= 0)
end

return device.define {
    name = "edu-gpio",
    desc = "a bank of general-purpose lines, written in Lua",
    props = {
        lines = { "u8", 32, min = 1, max = 32, help = "how many of the lines are wired" },
    },
    irqs = 1,
    gpio_out = { out = 32 },
    gpio_in = {
        ["in"] = {
            count = 32,
            changed = function(dev, n, level)
                local bit = 1 << n
                dev.regs.IN = dev.regs.IN & ~bit | level << n
                if level == 1 then
                    dev.regs.EDGES = dev.regs.EDGES | bit
                end
                update(dev)
            end,
        },
    },
    state = { driven = "u32" },
    mmio = { name = "edu-gpio", size = 0x20 },
    registers = {
        { name = "OUT", offset = 0x00, rw = 0xffffffff, write = drive },
        { name = "SET", offset = 0x04, wo = 0xffffffff, write = function(dev, value)
            drive(dev, dev.regs.OUT | value)
        end },
        { name = "CLEAR", offset = 0x08, wo = 0xffffffff, write = function(dev, value)
            drive(dev, dev.regs.OUT & ~value)
        end },
        { name = "IN", offset = 0x0c, ro = 0xffffffff },
        { name = "EDGES", offset = 0x10, w1c = 0xffffffff, write = update },
        { name = "ENABLE", offset = 0x14, rw = 0xffffffff, write = update },
    },
    reset = function(dev)
        for n = 0, dev.props.lines - 1 do
            dev:gpio("out", n, 0)
        end
        local levels = 0
        for n = 0, 31 do
            levels = levels | (dev:level("in", n) and 1 or 0) << n
        end
        dev.regs.IN = levels
    end,
}
