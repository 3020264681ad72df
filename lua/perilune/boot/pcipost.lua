-- What firmware does to a PCI bus: find the functions, give their BARs addresses, switch decoding
-- on, route their interrupts. PCI Local Bus Specification 3.0, 6.1 and 6.2.5.1 (sizing a BAR).
--
-- The bus is reached through two functions, so that this works on a machine, and on a table in a
-- test:
--   cfg.read(devfn, offset, size) → integer      cfg.write(devfn, offset, size, value)

local M = {}

local VENDOR, COMMAND, CLASS, HEADER_TYPE = 0x00, 0x04, 0x0a, 0x0e
local BAR0, ROM, LINE, PIN = 0x10, 0x30, 0x3c, 0x3d
local COMMAND_IO, COMMAND_MEMORY = 1, 2
local BAR_IO, BAR_MEM64 = 1, 4

--- "00:03.0", as people write it.
function M.address(devfn)
    return ("00:%02x.%x"):format(devfn >> 3, devfn & 7)
end

--- Every function on the bus, in order. Functions 1 to 7 are only looked for where function 0 says
--- so.
function M.scan(cfg)
    local found = {}
    for slot = 0, 31 do
        local functions = 1
        local fn = 0
        while fn < functions do
            local devfn = slot << 3 | fn
            local vendor = cfg.read(devfn, VENDOR, 2)
            if vendor ~= 0xffff and vendor ~= 0 then
                if fn == 0 and cfg.read(devfn, HEADER_TYPE, 1) & 0x80 ~= 0 then
                    functions = 8
                end
                found[#found + 1] = {
                    devfn = devfn, vendor = vendor, device = cfg.read(devfn, VENDOR + 2, 2),
                    class = cfg.read(devfn, CLASS, 2), pin = cfg.read(devfn, PIN, 1),
                }
            end
            fn = fn + 1
        end
    end
    return found
end

--- Size of the BAR at `offset`: what stays 0 when ones are written. Decoding must be off.
local function bar_size(cfg, devfn, offset, mask)
    local old = cfg.read(devfn, offset, 4)
    cfg.write(devfn, offset, 4, 0xffffffff)
    local bits = cfg.read(devfn, offset, 4) & mask
    cfg.write(devfn, offset, 4, old)
    return bits
end

--- The BARs of one function that exist: list of { offset, kind = "io"|"memory", size, wide }.
function M.bars(cfg, devfn)
    local list, offset = {}, BAR0
    if cfg.read(devfn, HEADER_TYPE, 1) & 0x7f ~= 0 then
        return list -- bridges have another layout
    end
    while offset < BAR0 + 24 do
        local low = cfg.read(devfn, offset, 4)
        local io = low & BAR_IO ~= 0
        local wide = not io and low & 6 == BAR_MEM64
        local bits = bar_size(cfg, devfn, offset, io and 0xfffffffc or 0xfffffff0)
        local size
        if io then
            -- 16-bit decoders leave the upper half 0.
            size = bits ~= 0 and (-(bits | 0xffff0000) & 0xffffffff)
        elseif wide then
            bits = bits | bar_size(cfg, devfn, offset + 4, 0xffffffff) << 32
            size = bits ~= 0 and -bits
        else
            size = bits ~= 0 and (-bits & 0xffffffff)
        end
        if size then
            local kind = io and "io" or "memory"
            list[#list + 1] = { devfn = devfn, offset = offset, kind = kind, size = size,
                wide = wide }
        end
        offset = offset + (wide and 8 or 4)
    end
    return list
end

local function no_room(bar)
    local text = "PCI device %s: no room for BAR %d (%s, 0x%x bytes): "
        .. "fewer or smaller devices are needed"
    local kind = bar.kind == "io" and "I/O" or "memory"
    error(text:format(M.address(bar.devfn), (bar.offset - BAR0) // 4, kind, bar.size), 0)
end

--- I/O grows up from the window's first port.
local function place_io(windows, bar)
    for _, w in ipairs(windows) do
        local at = (w.next or w.first) + bar.size - 1 & ~(bar.size - 1)
        if at + bar.size - 1 <= w.last then
            w.next = at + bar.size
            return at
        end
    end
    no_room(bar)
end

--- Memory grows down from the window's last byte.
local function place_memory(windows, bar)
    for _, w in ipairs(windows) do
        if bar.size <= (w.largest or math.maxinteger) and bar.size > 0 then
            local at = (w.top or w.last + 1) - bar.size & ~(bar.size - 1)
            if at >= w.first then
                w.top = at
                return at
            end
        end
    end
    no_room(bar)
end

local function copy(windows)
    local out = {}
    for i, w in ipairs(windows) do
        out[i] = { first = w.first, last = w.last, largest = w.largest }
    end
    return out
end

--- Give every BAR an address and switch decoding on. windows: { io = {…}, memory = {…} }, each a
--- list of { first, last, largest }: windows are tried in order, those with `largest` only for BARs
--- up to that size. Bigger BARs go first, among equals the lower device: the result depends on
--- nothing else. Returns the functions, each with its `bars`.
function M.assign(cfg, windows)
    local functions, all = M.scan(cfg), {}
    for _, f in ipairs(functions) do
        local command = cfg.read(f.devfn, COMMAND, 2)
        cfg.write(f.devfn, COMMAND, 2, command & ~(COMMAND_IO | COMMAND_MEMORY))
        f.bars = M.bars(cfg, f.devfn)
        if cfg.read(f.devfn, HEADER_TYPE, 1) & 0x7f == 0 then
            cfg.write(f.devfn, ROM, 4, 0) -- expansion ROMs stay off
        end
        table.move(f.bars, 1, #f.bars, #all + 1, all)
    end
    table.sort(all, function(a, b)
        if a.size ~= b.size then
            return math.ult(b.size, a.size)
        elseif a.devfn ~= b.devfn then
            return a.devfn < b.devfn
        end
        return a.offset < b.offset
    end)
    local io, memory = copy(windows.io), copy(windows.memory)
    for _, bar in ipairs(all) do
        bar.address = bar.kind == "io" and place_io(io, bar) or place_memory(memory, bar)
        cfg.write(bar.devfn, bar.offset, 4, bar.address)
        if bar.wide then
            cfg.write(bar.devfn, bar.offset + 4, 4, bar.address >> 32)
        end
    end
    for _, f in ipairs(functions) do
        local enable = 0
        for _, bar in ipairs(f.bars) do
            enable = enable | (bar.kind == "io" and COMMAND_IO or COMMAND_MEMORY)
        end
        cfg.write(f.devfn, COMMAND, 2, cfg.read(f.devfn, COMMAND, 2) | enable)
    end
    return functions
end

--- Route PIIX3's four PIRQs to `irqs` (a list of four) and tell each function its line. Pin p (1 =
--- INTA) of slot s drives PIRQ (s + p - 2) mod 4.
function M.route(cfg, piix3, functions, irqs)
    for i = 1, 4 do
        cfg.write(piix3, 0x60 + i - 1, 1, irqs[i])
    end
    for _, f in ipairs(functions) do
        if f.pin >= 1 and f.pin <= 4 then
            cfg.write(f.devfn, LINE, 1, irqs[((f.devfn >> 3) + f.pin - 2) % 4 + 1])
        end
    end
end

--- The function with these ids, or nil.
function M.find(functions, vendor, device)
    for _, f in ipairs(functions) do
        if f.vendor == vendor and f.device == device then
            return f
        end
    end
end

--- Place PIIX4's power-management and SMBus ports and say that their interrupt is `sci`.
function M.enable_pm(cfg, devfn, base, smbus, sci)
    cfg.write(devfn, 0x40, 4, base | 1)
    cfg.write(devfn, 0x80, 1, cfg.read(devfn, 0x80, 1) | 1)
    cfg.write(devfn, 0x90, 4, smbus | 1)
    cfg.write(devfn, 0xd2, 1, 0x09) -- host controller on, interrupts through IRQ 9
    cfg.write(devfn, LINE, 1, sci)
end

return M
