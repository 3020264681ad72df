-- An I2C controller with the registers of the OpenCores one (opencores.org, "I2C-Master Core
-- Specification", chapter 3), four bytes apart, as Linux's i2c-ocores driver expects with a
-- reg-shift of 2. A byte takes nine periods of the bus clock.
--
--   PRER_LO, PRER_HI  prescaler: the bus runs at clock / (5 * (prescaler + 1))
--   CTR      bit 7 enabled, bit 6 interrupts
--   DATA     write: the next byte, or address and direction; read: the byte received
--   COMMAND  write: bit 7 START, 6 STOP, 5 read, 4 write, 3 do not acknowledge, 0 clear the interrupt
--            read: status: bit 7 not acknowledged, 6 busy, 5 arbitration lost (never), 1 a byte is
--            under way, 0 interrupt
local ENABLE, INTERRUPTS <const> = 0x80, 0x40
local START, STOP, READ, WRITE, NACK, CLEAR <const> = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
local NOT_ACKNOWLEDGED, BUSY, UNDER_WAY, INTERRUPT <const> = 0x80, 0x40, 0x02, 0x01
local BITS_OF_A_BYTE <const> = 9

local function set(dev, bits, on)
    dev.status = on and dev.status | bits or dev.status & ~bits
end

local function update(dev)
    dev:irq(0, dev.status & INTERRUPT ~= 0 and dev.regs.CTR & INTERRUPTS ~= 0)
end

local function byte_ns(dev)
    local prescaler = dev.regs.PRER_LO | dev.regs.PRER_HI << 8
    return 1000000000 * 5 * (prescaler + 1) * BITS_OF_A_BYTE // dev.props.clock
end

local function command(dev, value)
    if value & CLEAR ~= 0 then
        set(dev, INTERRUPT, false)
        update(dev)
    end
    if dev.regs.CTR & ENABLE == 0 or dev.status & UNDER_WAY ~= 0 then
        return
    end
    if value & (READ | WRITE) ~= 0 then
        dev.command = value
        set(dev, UNDER_WAY, true)
        set(dev, BUSY, dev.status & BUSY ~= 0 or value & START ~= 0)
        dev:timer("byte"):set(byte_ns(dev))
    elseif value & STOP ~= 0 then
        dev:i2c_stop()
        set(dev, BUSY, false)
    end
end

--- The byte has gone over the wires.
local function finish(dev)
    local value, acknowledged = dev.command, true
    if value & WRITE ~= 0 then
        if value & START ~= 0 then
            acknowledged = dev:i2c_start(dev.regs.DATA >> 1, dev.regs.DATA & 1 == 1)
        else
            acknowledged = dev:i2c_send(dev.regs.DATA)
        end
    else
        dev.received = dev:i2c_receive(value & NACK ~= 0)
    end
    if value & STOP ~= 0 then
        dev:i2c_stop()
    end
    set(dev, NOT_ACKNOWLEDGED, not acknowledged)
    set(dev, BUSY, dev.status & BUSY ~= 0 and value & STOP == 0)
    set(dev, UNDER_WAY, false)
    set(dev, INTERRUPT, true)
    update(dev)
end

return device.define {
    name = "edu-i2c",
    desc = "an I2C controller, written in Lua",
    irqs = 1,
    i2c_bus = "i2c.0",
    props = {
        clock = { "u32", 50000000, min = 1, help = "of the controller, in Hz" },
    },
    state = { status = "u8", command = "u8", received = "u8" },
    mmio = { name = "edu-i2c", size = 0x20 },
    registers = {
        { name = "PRER_LO", offset = 0x00, rw = 0xff, reset = 0xff },
        { name = "PRER_HI", offset = 0x04, rw = 0xff, reset = 0xff },
        { name = "CTR", offset = 0x08, rw = ENABLE | INTERRUPTS, write = update },
        { name = "DATA", offset = 0x0c, rw = 0xff, read = function(dev)
            return dev.received
        end },
        { name = "COMMAND", offset = 0x10, wo = 0xff, write = command, read = function(dev)
            return dev.status
        end },
    },
    timers = { byte = finish },
}
