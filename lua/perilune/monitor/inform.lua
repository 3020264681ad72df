--- The monitor's `info` and what it can tell of.
local core = require "perilune.core"
local faults = require "perilune.monitor.faults"
local interrupts = require "perilune.monitor.interrupts"
local listings = require "perilune.monitor.info"
local trace = require "perilune.trace"
local util = require "perilune.util"
local value = require "perilune.monitor.value"

local M = {}

local topics = {} -- name → { help, detail = may a word follow, run(vm, word), show(data) }

local function as_is(text)
    return (text:gsub("\n+$", ""))
end

-- ---- the machine ----

topics.status = {
    help = "does it run, and why not",
    run = function(vm)
        return { state = vm.state, pause_reason = vm.pause_reason, exit_reason = vm.exit_reason,
            exit_status = vm.exit_status, instructions = vm.instructions }
    end,
    show = function(d)
        local why = d.state == "paused" and d.pause_reason or d.state == "ended" and d.exit_reason
            or ""
        return ("VM status: %s%s"):format(d.state, why ~= "" and " (" .. why .. ")" or "")
    end,
}

topics.version = {
    help = "of Perilune",
    no_machine = true,
    run = function()
        return core.version
    end,
    show = as_is,
}

topics.cpus = {
    help = "cpus",
    run = function(vm)
        local rows = {}
        for i, cpu in ipairs(vm.cpus) do
            rows[i] = { index = cpu.index, apic_id = cpu.apic_id,
                instructions = cpu.instructions, cpu = cpu }
        end
        return rows
    end,
    show = function(rows)
        if #rows == 0 then
            return "there is no cpu"
        end
        return value.lines(rows, function(c)
            return ("%s CPU #%d: APIC id %d, %d instructions"):format(c.index == 0 and "*" or " ",
                c.index, c.apic_id, c.instructions)
        end)
    end,
}

topics.clocks = {
    help = "clocks: time and the next timer, ns",
    run = function(vm)
        local rows = {}
        local clocks = vm.clock
        for _, name in ipairs(util.sorted_keys(clocks)) do
            rows[#rows + 1] = { name = name, now = clocks[name].now,
                deadline = clocks[name].deadline }
        end
        return rows
    end,
    show = function(rows)
        return value.lines(rows, function(c)
            return ("%-12s %20d ns, next timer %s"):format(c.name, c.now,
                c.deadline and ("at %d"):format(c.deadline) or "none")
        end)
    end,
}

-- ---- registers ----

local order = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
    "r12", "r13", "r14", "r15", "rip", "rflags" }
local segments = { "es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr" }
local control = { "cr0", "cr2", "cr3", "cr4", "cr8", "efer" }
M.registers = {}
for _, names in ipairs { order, control, { "gdt_base", "gdt_limit", "idt_base", "idt_limit" } } do
    table.move(names, 1, #names, #M.registers + 1, M.registers)
end
for _, name in ipairs(segments) do
    table.move({ name, name .. "_base" }, 1, 2, #M.registers + 1, M.registers)
end
local fpu = { "fcw", "fsw", "mxcsr" }
for i = 0, 15 do
    fpu[#fpu + 1] = "xmm" .. i
    fpu[#fpu + 1] = "ymm" .. i
    fpu[#fpu + 1] = i < 8 and "st" .. i or nil
end
table.move(fpu, 1, #fpu, #M.registers + 1, M.registers)

--- Those that the cpu has: YMM registers are there with AVX.
local function read_registers(cpu)
    local has, values = {}, {}
    for name in pairs(cpu) do
        has[name] = true
    end
    for _, name in ipairs(M.registers) do
        values[name] = has[name] and cpu[name] or nil
    end
    local whole, state = pcall(cpu.state, cpu) -- not in the middle of an access under KVM
    values.smm = whole and state.events.smi.smm or 0
    return values
end

local flag_letters = { { 10, "D" }, { 11, "O" }, { 7, "S" }, { 6, "Z" }, { 4, "A" }, { 2, "P" },
    { 0, "C" } }

local function flags_text(rflags)
    local letters = {}
    for i, row in ipairs(flag_letters) do
        letters[i] = rflags >> row[1] & 1 == 1 and row[2] or "-"
    end
    return table.concat(letters)
end

--- Bytes, the low one first, as one number.
local function wide(bytes)
    return (bytes:reverse():gsub(".", function(c)
        return ("%02x"):format(c:byte())
    end))
end

--- `count` registers of that name, `per_line` in a line.
local function wide_lines(lines, v, name, label, count, per_line)
    for i = 0, count - 1, per_line do
        local parts = {}
        for k = i, i + per_line - 1 do
            parts[#parts + 1] = label:format(k) .. wide(v[name .. k])
        end
        lines[#lines + 1] = table.concat(parts, " ")
    end
end

local function show_fpu(lines, v)
    lines[#lines + 1] = ("FCW=%04x FSW=%04x [ST=%d] MXCSR=%08x"):format(v.fcw, v.fsw,
        v.fsw >> 11 & 7, v.mxcsr)
    wide_lines(lines, v, "st", "ST%d=", 8, 2)
    if v.ymm0 then
        wide_lines(lines, v, "ymm", "YMM%02d=", 16, 1)
    else
        wide_lines(lines, v, "xmm", "XMM%02d=", 16, 2)
    end
end

local function show_registers(v)
    local lines, short = {}, { r8 = "r8 ", r9 = "r9 " }
    for i = 1, 16, 4 do
        local parts = {}
        for k = i, i + 3 do
            local name = order[k]
            parts[#parts + 1] = ("%s=%016x"):format((short[name] or name):upper(), v[name])
        end
        lines[#lines + 1] = table.concat(parts, " ")
    end
    lines[#lines + 1] = ("RIP=%016x RFL=%08x [%s] CPL=%d SMM=%d"):format(v.rip, v.rflags,
        flags_text(v.rflags), v.cs & 3, v.smm)
    for _, name in ipairs(segments) do
        lines[#lines + 1] = ("%-3s=%04x %016x"):format(name:upper(), v[name], v[name .. "_base"])
    end
    lines[#lines + 1] = ("GDT= %016x %08x"):format(v.gdt_base, v.gdt_limit)
    lines[#lines + 1] = ("IDT= %016x %08x"):format(v.idt_base, v.idt_limit)
    lines[#lines + 1] = ("CR0=%08x CR2=%016x CR3=%016x CR4=%08x"):format(v.cr0, v.cr2, v.cr3, v.cr4)
    lines[#lines + 1] = ("EFER=%016x"):format(v.efer)
    show_fpu(lines, v)
    return table.concat(lines, "\n")
end

topics.registers = {
    help = "registers of the cpus; -a is the same, a number is one cpu",
    detail = true,
    run = function(vm, word, monitor)
        local index = word and math.tointeger(tonumber(word))
        if word and not index and word ~= "-a" then
            util.fail(('info registers: "%s" is not the number of a cpu'):format(word))
        end
        return monitor.still(vm, function()
            local all = {}
            for _, cpu in ipairs(vm.cpus) do
                if not index or cpu.index == index then
                    all[#all + 1] = { index = cpu.index, values = read_registers(cpu) }
                end
            end
            if #all == 0 then
                util.fail(index and ("there is no cpu %d"):format(index) or "there is no cpu")
            end
            return all
        end)
    end,
    show = function(all)
        return value.lines(all, function(c)
            return ("CPU#%d\n%s"):format(c.index, show_registers(c.values))
        end)
    end,
}

-- ---- memory and devices ----

topics.mtree = {
    help = "memory regions; -f: what each address leads to",
    detail = true,
    run = function(vm, word)
        if word and word ~= "-f" then
            util.fail(('info mtree: "%s" is not -f'):format(word))
        end
        return word and listings.flat(vm) or listings.mtree(vm)
    end,
    show = as_is,
}

topics.qtree = {
    help = "devices by bus",
    run = function(vm)
        return listings.qtree(vm)
    end,
    show = as_is,
}

--- { name, device (nil: only a container), children in order }, for a tree of paths.
local function tree_of(vm)
    local root = { name = "/machine", children = {}, by_name = {} }
    for _, d in ipairs(vm:devices()) do
        local at = root
        for part in (d.path or ""):gsub("^/machine", ""):gmatch("[^/]+") do
            if not at.by_name[part] then
                local child = { name = part, children = {}, by_name = {} }
                at.by_name[part] = child
                table.insert(at.children, child)
            end
            at = at.by_name[part]
        end
        if at ~= root then
            at.device = d
        end
    end
    return root
end

local function tree_lines(out, node, depth)
    out[#out + 1] = ("%s/%s (%s)"):format(("  "):rep(depth), node.name:gsub("^/", ""),
        node.device and node.device.type or "container")
    for _, child in ipairs(node.children) do
        tree_lines(out, child, depth + 1)
    end
end

topics["qom-tree"] = {
    help = "devices by path",
    run = tree_of,
    show = function(root)
        local out = {}
        tree_lines(out, root, 0)
        return table.concat(out, "\n")
    end,
}

topics.pci = {
    help = "PCI functions and their BARs",
    run = function(vm)
        local rows = {}
        for _, d in ipairs(vm:devices()) do
            local pci = d:info().pci
            if pci then
                pci.path, pci.type, pci.id = d.path, d.type, d.id
                rows[#rows + 1] = pci
            end
        end
        table.sort(rows, function(a, b)
            return a.slot * 8 + a.fn < b.slot * 8 + b.fn
        end)
        return rows
    end,
    show = function(rows)
        return value.lines(rows, function(p)
            local lines = { ("  Bus  0, device %3d, function %d:"):format(p.slot, p.fn),
                ("    %s: PCI device %04x:%04x"):format(listings.pci_class(p.class), p.vendor,
                    p.device),
                ("      PCI subsystem %04x:%04x"):format(p.subsystem_vendor, p.subsystem) }
            if p.pin ~= 0 then
                lines[#lines + 1] = ("      IRQ %d, pin %c"):format(p.irq, 64 + p.pin)
            end
            for _, bar in ipairs(p.bars) do
                lines[#lines + 1] = ("      BAR%d: %s at 0x%08x [0x%08x]."):format(bar.index,
                    bar.kind == "mem" and "32 bit memory" or "I/O", bar.addr,
                    bar.addr + bar.size - 1)
            end
            lines[#lines + 1] = ('      id "%s", %s'):format(p.id or "", p.type)
            return table.concat(lines, "\n")
        end)
    end,
}

topics.roms = {
    help = "regions of ROM",
    run = function(vm)
        local rows = {}
        local seen = {}
        for _, space in ipairs(vm:spaces()) do
            for _, r in ipairs(space:flat().ranges) do
                if r.kind == "rom" and not seen[r.name .. r.start] then
                    seen[r.name .. r.start] = true
                    rows[#rows + 1] = { addr = r.start, size = r.last - r.start + 1,
                        name = r.name }
                end
            end
        end
        return rows
    end,
    show = function(rows)
        if #rows == 0 then
            return "there is no ROM"
        end
        return value.lines(rows, function(r)
            return ('addr=%016x size=0x%06x mem=rom name="%s"'):format(r.addr, r.size, r.name)
        end)
    end,
}

topics.chardevs = {
    help = "character backends",
    run = function(vm)
        local rows = {}
        for i, c in ipairs(vm:chardevs()) do
            rows[i] = { id = c.id, kind = c.kind, filename = c.filename, connected = c.connected,
                peer = c.peer, bytes_in = c.bytes_in, bytes_out = c.bytes_out }
        end
        return rows
    end,
    show = function(rows)
        return value.lines(rows, function(c)
            return ("%s: filename=%s, %d bytes in, %d bytes out"):format(c.id, c.filename,
                c.bytes_in, c.bytes_out)
        end)
    end,
}

topics.network = {
    help = "links, what sits at them, and traffic",
    run = function(vm)
        local rows = {}
        for i, link in ipairs(vm:links()) do
            local ends = {}
            for k, port in ipairs(link.ports) do
                ends[k] = { id = port.id, kind = port.kind, joined = port.joined }
            end
            rows[i] = { name = link.name, up = link.up, ports = ends, stats = link:stats() }
        end
        return rows
    end,
    show = function(rows)
        if #rows == 0 then
            return "there is no network"
        end
        return value.lines(rows, function(l)
            local lines = { ("%s: %s"):format(l.name, l.up and "up" or "down") }
            for k, port in ipairs(l.ports) do
                local s = l.stats[k]
                lines[#lines + 1] = (" \\ %s (%s): sent %d frames, %d bytes, %d dropped"):format(
                    port.id, port.joined and port.kind .. " to " .. port.joined or port.kind,
                    s.frames, s.bytes, s.dropped)
            end
            return table.concat(lines, "\n")
        end)
    end,
}

topics.hooks = {
    help = "hooks, how often they fired and what they cost",
    run = function(vm)
        local rows = {}
        for i, h in ipairs(vm:hooks()) do
            rows[i] = { event = h.event, hits = h.hits, errors = h.errors, cost_ns = h.cost_ns,
                symbol = h.symbol, pending = h.pending, means = h.means, hook = h }
        end
        return rows
    end,
    show = function(rows)
        if #rows == 0 then
            return "there are no hooks"
        end
        return value.lines(rows, function(h)
            return ("%-50s %10d hits %6d errors %12d ns%s%s"):format(tostring(h.hook), h.hits,
                h.errors, h.cost_ns, h.symbol and "  " .. h.symbol or "",
                h.means and "  " .. h.means or "")
        end)
    end,
}

topics.faults = faults.topic

topics["trace-events"] = {
    help = "events that match a pattern (all without), and whether they are written or listened to",
    detail = true,
    run = function(vm, pattern)
        local rows, traced, glob = {}, vm:traced(), trace.glob(pattern or "*")
        for _, event in ipairs(trace.events()) do
            if event.name:match(glob) then
                rows[#rows + 1] = { name = event.name, on = traced[event.name] ~= nil,
                    help = event.help, args = trace.signature(event) }
            end
        end
        if #rows == 0 then
            util.fail(util.suggest(('there is no event "%s"'):format(pattern), pattern,
                trace.names()))
        end
        return rows
    end,
    show = function(rows)
        return value.lines(rows, function(row)
            return ("%-22s %-3s  %s"):format(row.name, row.on and "on" or "off", row.help)
        end)
    end,
}

for name, topic in pairs(interrupts.topics) do
    topics[name] = topic
end

-- ---- the command ----

function M.names()
    return util.sorted_keys(topics)
end

function M.help()
    return value.lines(M.names(), function(name)
        return ("  info %-12s %s"):format(name, topics[name].help)
    end)
end

--- What people ask for, and what tells it here.
local instead = { usernet = "info network", blockstats = "info block", memory = "info mtree",
    mem = "vm.cpus[1]:translate(ADDRESS)", tlb = "vm.cpus[1]:translate(ADDRESS)",
    history = "the key Up", name = "vm.name", ioapic = "info pic" }

local function find(name)
    if topics[name] then
        return topics[name]
    end
    local near = instead[name] or core.nearest(name, M.names())
    util.fail(('info: there is no topic "%s"; %s'):format(name,
        instead[name] and ("there is: %s"):format(near) or near
        and ('did you mean "%s"?'):format(near) or "info alone lists them"))
end

function M.register(monitor)
    monitor.command { name = "info", help = "what there is; without a topic: topics",
        args = { { "topic", "word", optional = true },
            { "detail", "word", optional = true,
                help = "-f of mtree, a cpu of registers and lapic, a pattern of trace-events" } },
        complete = M.names,
        run = function(a)
            if not a.topic then
                return M.names()
            end
            local topic = find(a.topic)
            if a.detail and not topic.detail then
                util.fail(("info %s takes no further word"):format(a.topic))
            end
            return topic.run(not topic.no_machine and monitor.vm() or nil, a.detail, monitor)
        end,
        show = function(data, a)
            return a.topic and topics[a.topic].show(data) or M.help()
        end }
end

return M
