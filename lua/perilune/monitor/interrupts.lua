--- What `info irq`, `info pic` and `info lapic` tell: lines and interrupt controllers.
local util = require "perilune.util"
local value = require "perilune.monitor.value"

local M = { topics = {} }

-- ---- lines ----

--- Inputs of all devices that have ever gone high, or are high.
local function used_lines(vm)
    local rows = {}
    for _, d in ipairs(vm:devices()) do
        local first = {}
        for _, list in ipairs(d:lines()) do
            if list.direction == "in" then
                local from = first[list.name] or 0
                first[list.name] = from + list.count
                for n = from, from + list.count - 1 do
                    local line = d:gpio_in(list.name, n)
                    if line.rises > 0 then
                        rows[#rows + 1] = { device = d.path, type = d.type, name = list.name, number = n,
                            level = line.level, rises = line.rises }
                    end
                end
            end
        end
    end
    return rows
end

M.topics.irq = {
    help = "interrupt lines: how often each went high",
    run = used_lines,
    show = function(rows)
        if #rows == 0 then
            return "no line has gone high"
        end
        local out, device = {}, nil
        for _, r in ipairs(rows) do
            if r.device ~= device then
                device = r.device
                out[#out + 1] = ("IRQ statistics for %s:"):format(r.type .. " " .. device)
            end
            out[#out + 1] = ("%s%2d: %d%s"):format(r.name ~= "" and r.name .. " " or "", r.number,
                r.rises, r.level and " (high)" or "")
        end
        return table.concat(out, "\n")
    end,
}

-- ---- the 8259A pair and the I/O APIC ----

local delivery = { [0] = "fixed", "lowest", "SMI", "reserved", "NMI", "INIT", "reserved", "ExtINT" }

local function redirection(pin, entry)
    return { pin = pin, vector = entry & 0xff, delivery = delivery[entry >> 8 & 7],
        logical = entry >> 11 & 1 == 1, pending = entry >> 12 & 1 == 1,
        active_low = entry >> 13 & 1 == 1, remote_irr = entry >> 14 & 1 == 1,
        level = entry >> 15 & 1 == 1, masked = entry >> 16 & 1 == 1, destination = entry >> 56 & 0xff }
end

local function ioapic_row(device, id, select, entries)
    local row = { kind = "ioapic", path = device.path, id = id, select = select, pins = {} }
    for pin, entry in ipairs(entries) do
        row.pins[pin] = redirection(pin - 1, entry)
    end
    return row
end

local function pic_rows(vm)
    local rows = {}
    for _, d in ipairs(vm:find { type = "isa-i8259" }) do
        local s = d:state()
        rows[#rows + 1] = { kind = "pic", path = d.path, index = d.iobase == 0x20 and 0 or 1,
            irr = s.irr, imr = s.imr, isr = s.isr, elcr = s.elcr, base = s.vector_base,
            priority = s.top_priority, reads_isr = s.read_isr, nested = s.nested }
    end
    table.sort(rows, function(a, b)
        return a.index < b.index
    end)
    for _, d in ipairs(vm:find { type = "kvm-pic" }) do
        local s = d:state()
        for index, chip in ipairs { "master", "slave" } do
            local function of(name)
                return s[chip .. "." .. name]
            end
            rows[#rows + 1] = { kind = "pic", path = d.path, index = index - 1, irr = of "irr",
                imr = of "imr", isr = of "isr", elcr = of "elcr", base = of "irq_base",
                priority = of "priority_add", reads_isr = of "read_reg_select" ~= 0,
                nested = of "special_fully_nested_mode" ~= 0 }
        end
    end
    for _, d in ipairs(vm:find { type = "ioapic" }) do
        local s = d:state()
        rows[#rows + 1] = ioapic_row(d, s.id, s.select, s.redir)
    end
    for _, d in ipairs(vm:find { type = "kvm-ioapic" }) do
        local s = d:state()
        rows[#rows + 1] = ioapic_row(d, s.id, s.ioregsel, s.redirtbl)
    end
    return rows
end

local function show_pin(p)
    return ("  pin %-2d 0x%02x dest=%d vec=%d %s %s %s %s%s%s"):format(p.pin, p.vector, p.destination,
        p.vector, p.active_low and "active-lo" or "active-hi", p.level and "level" or "edge",
        p.masked and "masked" or "unmasked", p.delivery, p.logical and " logical" or " physical",
        p.remote_irr and " remote-irr" or "")
end

M.topics.pic = {
    help = "the 8259A pair and the I/O APIC",
    run = pic_rows,
    show = function(rows)
        if #rows == 0 then
            return "there is no interrupt controller"
        end
        return value.lines(rows, function(r)
            if r.kind == "pic" then
                return ("pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x fnm=%d")
                    :format(r.index, r.irr, r.imr, r.isr, r.priority, r.base, r.reads_isr and 1 or 0,
                        r.elcr, r.nested and 1 or 0)
            end
            return ("ioapic: id=0x%02x sel=0x%02x\n%s"):format(r.id, r.select,
                value.lines(r.pins, show_pin))
        end)
    end,
}

-- ---- local APICs ----

local lvt_names = { "LVTT", "LVTTHMR", "LVTPC", "LVT0", "LVT1", "LVTERR" }

--- Numbers of the bits that are set in eight words of 32.
local function vectors(words)
    local set = {}
    for i, word in ipairs(words) do
        for bit = 0, 31 do
            if word >> bit & 1 == 1 then
                set[#set + 1] = (i - 1) * 32 + bit
            end
        end
    end
    return set
end

local function own_apic(d, s)
    return { cpu = d.cpu, path = d.path, id = s.id, base = s.base, svr = s.svr, tpr = s.tpr,
        ldr = s.ldr, dfr = s.dfr, esr = s.esr, icr = s.icr_high << 32 | s.icr_low, lvt = s.lvt,
        initial_count = s.initial_count, timer = s.timer or nil, irr = vectors(s.irr),
        isr = vectors(s.isr) }
end

local X2APIC = 1 << 10 -- in the base

--- The registers by their offsets in the page, as the kernel keeps them.
local function kernel_apic(d, s)
    local function at(offset)
        return s.regs[offset // 4 + 1]
    end
    local function eight(offset)
        local words = {}
        for n = 0, 7 do
            words[n + 1] = at(offset + 16 * n)
        end
        return vectors(words)
    end
    local lvt = {}
    for n = 0, 5 do
        lvt[n + 1] = at(0x320 + 16 * n)
    end
    return { cpu = d.cpu, path = d.path, id = s.base & X2APIC ~= 0 and at(0x20) or at(0x20) >> 24,
        base = s.base, svr = at(0xf0), tpr = at(0x80), ldr = at(0xd0), dfr = at(0xe0), esr = at(0x280),
        icr = at(0x310) << 32 | at(0x300), lvt = lvt, initial_count = at(0x380),
        current_count = at(0x390), deadline = s.tsc_deadline, irr = eight(0x200), isr = eight(0x100) }
end

M.topics.lapic = {
    help = "a local APIC; a number is one of them",
    detail = true,
    run = function(vm, word)
        local index = word and math.tointeger(tonumber(word))
        if word and not index then
            util.fail(('info lapic: "%s" is not the number of a cpu'):format(word))
        end
        local rows = {}
        for _, type in ipairs { "apic", "kvm-apic" } do
            for _, d in ipairs(vm:find { type = type }) do
                if not index or d.cpu == index then
                    rows[#rows + 1] = (type == "apic" and own_apic or kernel_apic)(d, d:state())
                end
            end
        end
        if index and #rows == 0 then
            util.fail(("there is no local APIC of cpu %d"):format(index))
        end
        return rows
    end,
    show = function(rows)
        if #rows == 0 then
            return "there is no local APIC"
        end
        return value.lines(rows, function(r)
            local out = { ("dumping local APIC state for CPU %d"):format(r.cpu) }
            for i, name in ipairs(lvt_names) do
                local v = r.lvt[i]
                out[#out + 1] = ("%-8s 0x%08x %s%s"):format(name, v,
                    v >> 16 & 1 == 1 and "masked" or "unmasked", i ~= 1 and i ~= 6
                    and " " .. delivery[v >> 8 & 7] or "")
            end
            out[#out + 1] = ("SPIV     0x%08x APIC %s"):format(r.svr,
                r.svr >> 8 & 1 == 1 and "enabled" or "disabled")
            out[#out + 1] = ("ICR      0x%016x"):format(r.icr)
            out[#out + 1] = ("TIMER    initial count %d%s%s%s"):format(r.initial_count, r.timer
                and (", fires at %d ns"):format(r.timer) or "", r.current_count
                and (", current count %d"):format(r.current_count) or "", (r.deadline or 0) ~= 0
                and (", fires at TSC %d"):format(r.deadline) or "")
            out[#out + 1] = ("ID       0x%08x TPR 0x%02x LDR 0x%08x DFR 0x%08x ESR 0x%08x"):format(r.id,
                r.tpr, r.ldr, r.dfr, r.esr)
            out[#out + 1] = "ISR      " .. (#r.isr > 0 and table.concat(r.isr, " ") or "(none)")
            out[#out + 1] = "IRR      " .. (#r.irr > 0 and table.concat(r.irr, " ") or "(none)")
            return table.concat(out, "\n")
        end)
    end,
}

-- ---- what there is none of ----

M.topics.block = {
    help = "disks",
    run = function()
        return {}
    end,
    show = function()
        return "there are no block devices"
    end,
}

M.topics.snapshots = {
    help = "snapshots",
    run = function()
        return {}
    end,
    show = function()
        return "there are no snapshots"
    end,
}

return M
