-- A PCI device to learn from: it knows a number, computes factorials, and copies memory by DMA.
--
--   ID         0x010000ed
--   LIVENESS   reads the complement of what was written
--   FACTORIAL  write n: its factorial modulo 2^32 is there a little later
--   STATUS     bit 0 computing, bit 7 interrupt when done
--   IRQ        causes that wait: bit 0 factorial, bit 8 DMA (write 1 clears)
--   DMA_SRC, DMA_DST (two words each), DMA_COUNT, DMA_CMD: bit 0 start, bit 1 direction (0: memory to
--   buffer), bit 2 interrupt. The buffer of 4 KiB is at 0x40000 in the device's own addresses.
local BUSY, WANTS_IRQ <const> = 1, 0x80
local DONE_FACTORIAL, DONE_DMA <const> = 1, 0x100
local START, TO_MEMORY, DMA_IRQ <const> = 1, 2, 4
local BUFFER, BUFFER_SIZE <const> = 0x40000, 4096

local function update(dev)
    dev:irq(dev.regs.IRQ ~= 0)
end

local function raise(dev, cause)
    dev.regs.IRQ = dev.regs.IRQ | cause
    update(dev)
end

local function address(dev, name)
    return dev:reg(name, 0) | dev:reg(name, 1) << 32
end

--- Where in the buffer the transfer begins, or nil when it would leave it.
local function buffer_offset(at, count)
    local offset = at - BUFFER
    if offset >= 0 and offset <= BUFFER_SIZE and count <= BUFFER_SIZE - offset then
        return offset
    end
end

local function transfer(dev)
    local command, count = dev.regs.DMA_CMD, dev.regs.DMA_COUNT
    local src, dst = address(dev, "DMA_SRC"), address(dev, "DMA_DST")
    local offset = buffer_offset(command & TO_MEMORY ~= 0 and src or dst, count)
    if not offset then
        dev:log("a transfer leaves the buffer")
    elseif command & TO_MEMORY ~= 0 then
        dev:dma_write(dst, dev.buffer:sub(offset + 1, offset + count))
    else
        local buffer = dev.buffer
        dev.buffer = buffer:sub(1, offset) .. dev:dma_read(src, count) .. buffer:sub(offset + count + 1)
    end
    dev.regs.DMA_CMD = command & ~START
    if command & DMA_IRQ ~= 0 then
        raise(dev, DONE_DMA)
    end
end

return device.define {
    name = "edu-pci",
    parent = "pci-device",
    desc = "a PCI device to learn from, written in Lua",
    pci = {
        vendor = 0x1234, device = 0x11e9, revision = 1, class = 0x00ff, pin = 1,
        bars = { [0] = { name = "edu-pci", size = "1M", kind = "mem32" } },
    },
    props = {
        latency = { "u32", 1000, help = "nanoseconds that a multiplication takes" },
    },
    state = { buffer = { "bytes", BUFFER_SIZE } },
    registers = {
        { name = "ID", offset = 0x00, ro = 0xffffffff, reset = 0x010000ed },
        { name = "LIVENESS", offset = 0x04, rw = 0xffffffff, read = function(dev)
            return ~dev.regs.LIVENESS & 0xffffffff
        end },
        { name = "FACTORIAL", offset = 0x08, rw = 0xffffffff, write = function(dev, value)
            dev.regs.STATUS = dev.regs.STATUS | BUSY
            dev:timer("compute"):set(dev.props.latency * math.min(value, 64))
        end },
        { name = "STATUS", offset = 0x20, rw = WANTS_IRQ, ro = BUSY },
        { name = "IRQ", offset = 0x24, w1c = 0xffffffff, write = update },
        { name = "DMA_SRC", offset = 0x80, count = 2 },
        { name = "DMA_DST", offset = 0x88, count = 2 },
        { name = "DMA_COUNT", offset = 0x90 },
        { name = "DMA_CMD", offset = 0x98, rw = 7, write = function(dev, value)
            if value & START ~= 0 then
                dev:timer("dma"):set(dev.regs.DMA_COUNT)
            end
        end },
    },
    timers = {
        compute = function(dev)
            local n, product = dev.regs.FACTORIAL, 1
            for i = 2, math.min(n, 64) do -- from 34! on it is 0 modulo 2^32
                product = product * i & 0xffffffff
            end
            dev.regs.FACTORIAL = product
            dev.regs.STATUS = dev.regs.STATUS & ~BUSY
            if dev.regs.STATUS & WANTS_IRQ ~= 0 then
                raise(dev, DONE_FACTORIAL)
            end
        end,
        dma = transfer,
    },
}
