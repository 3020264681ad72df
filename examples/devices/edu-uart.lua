-- A serial port on the system bus, as small boards have: four registers, a FIFO of 16 bytes for what
-- comes in, one interrupt line.
--
--   DATA    write: send a byte; read: the next byte that came in
--   STATUS  bit 0 a byte waits, bit 1 ready to send (always), bit 2 a byte was lost (write 1 clears)
--   CONTROL bit 0 interrupt while a byte waits
--   DIVISOR holds what is written: time is not modelled
local RX_READY, TX_READY, OVERRUN <const> = 1, 2, 4
local IRQ_ENABLE <const> = 1
local DEPTH <const> = 16

local function update(dev)
    local ready = dev.level_rx > 0 and RX_READY or 0
    dev.regs.STATUS = dev.regs.STATUS & ~RX_READY | TX_READY | ready
    dev:irq(0, ready ~= 0 and dev.regs.CONTROL & IRQ_ENABLE ~= 0)
end

return device.define {
    name = "edu-uart",
    parent = "sys-bus-device",
    desc = "a small serial port, written in Lua",
    irqs = 1,
    -- How many bytes wait in `fifo`, oldest first.
    state = { level_rx = "u8", fifo = { "bytes", DEPTH } },
    mmio = { name = "edu-uart", size = 0x10 },
    registers = {
        { name = "DATA", offset = 0x0,
            read = function(dev)
                if dev.level_rx == 0 then
                    return 0
                end
                local fifo = dev.fifo
                dev.fifo = fifo:sub(2)
                dev.level_rx = dev.level_rx - 1
                update(dev)
                dev:accept()
                return fifo:byte(1)
            end,
            write = function(dev, value)
                dev:send(value & 0xff)
            end },
        { name = "STATUS", offset = 0x4, reset = TX_READY, ro = RX_READY | TX_READY, w1c = OVERRUN },
        { name = "CONTROL", offset = 0x8, rw = IRQ_ENABLE, write = update },
        { name = "DIVISOR", offset = 0xc, rw = 0xffff, reset = 1 },
    },
    chardev = {
        room = function(dev)
            return DEPTH - dev.level_rx
        end,
        receive = function(dev, bytes)
            local n = dev.level_rx
            local taken = bytes:sub(1, DEPTH - n)
            if #taken < #bytes then
                dev.regs.STATUS = dev.regs.STATUS | OVERRUN
            end
            dev.fifo = dev.fifo:sub(1, n) .. taken
            dev.level_rx = n + #taken
            update(dev)
        end,
    },
}
