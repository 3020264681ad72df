--- What faults happen to: the table of targets, and those that are part of the machine's state.
--
-- A row is { name, help, keys, required, open } and functions of which each gives the target what effects need.
-- open(t) looks at t.spec, whose keys were checked, t.vm and t.effect, and notes in t what it has
-- found; t.fail(text) refuses. Then
--   ready(t) → boolean                 can it be done now, or is a symbol not known yet
--   read(t) → bytes, write(t, bytes)   its value now; note(t) → further fields of the record
--   hold(t, force) → function          keep it at what force(bytes) returns; the function ends that
--   watch(t, offer) → function         offer(e) for each event that goes by; see stream.lua
--   send(t, e, ns)                     let an event happen, ns from now
--   again(t, e)                        let it happen once more, before it does
--   spurious, disconnect, ...          what the effects of these names need
-- `refuse`: an access to it can meet nothing. `frames`: what goes by may become shorter. `ordered`:
-- events may change places, by send(). `missing`: why there can be no such faults.
local bits = require "perilune.fault.bits"
local check = require "perilune.fault.check"

local M = { rows = {}, names = {} }

local row_keys = { name = "string", help = "string", keys = "table", required = "table",
    open = "function", missing = "string", ready = "function",
    read = "function", write = "function", note = "function", hold = "function", watch = "function",
    send = "function", refuse = "boolean", frames = "boolean", ordered = "boolean" }

--- Add a target, or replace the one of that name. Fields that further effects need may be anything.
function M.add(row)
    local further = {}
    for key in pairs(row) do
        further[key] = row_keys[key] or "any"
    end
    check.add(M, "target", row, further)
end

--- The one of `keys` that the spec has.
function M.one_of(t, ...)
    local found
    for _, key in ipairs { ... } do
        if t.spec[key] ~= nil then
            if found then
                t.fail("%s and %s: give one of them", found, key)
            end
            found = key
        end
    end
    return found or t.fail("one of %s is needed", table.concat({ ... }, ", "))
end

function M.cpu(t)
    local index = t.spec.cpu or 0
    return t.vm.cpus[index + 1] or t.fail("there is no cpu %d", index)
end

-- ---- RAM ----

local PAGE <const> = 4096
local RAM_MAX <const> = 1 << 20

local function check_ram(t, first, size)
    local last = first + size - 1
    for _, r in ipairs(t.vm.memory:flat().ranges) do
        if math.ult(r.start, last + 1) and not math.ult(r.last, first) and r.kind == "i/o" then
            t.fail("0x%x is not RAM but %s; target mmio is for registers", first, r.name)
        end
    end
    local at = first
    for _, r in ipairs(t.vm.memory:flat().ranges) do
        if not math.ult(at, r.start) and not math.ult(r.last, at) then
            at = r.last + 1
        end
    end
    if math.ult(at, last + 1) then
        t.fail("there is no RAM at 0x%x", at)
    end
end

--- Where it is in physical memory: { { gpa, size }, ... }, by the page tables of now. With a range
-- it is somewhere else each time.
local function spans(t)
    local offset = t.range and t.random:below(t.range // t.size) * t.size or 0
    if t.gpa then
        return { { t.gpa + offset, t.size } }
    end
    local list, done = {}, 0
    while done < t.size do
        local gva = t.gva + offset + done
        local part = math.min(t.size - done, PAGE - (gva & PAGE - 1))
        local gpa = t.cpu:translate(gva)
        if not gpa then
            error(("0x%x is not mapped"):format(gva), 0)
        end
        list[#list + 1] = { gpa, part }
        done = done + part
    end
    return list
end

local function read_spans(t, list)
    local out = {}
    for i, span in ipairs(list) do
        out[i] = t.vm.memory:read_bytes(span[1], span[2])
    end
    return table.concat(out)
end

--- Past all hooks, and ROM takes it too.
local function write_spans(t, list, bytes)
    local at = 1
    for _, span in ipairs(list) do
        t.vm.memory:program_bytes(span[1], bytes:sub(at, at + span[2] - 1))
        at = at + span[2]
    end
end

--- Bytes to which `size` bytes are written at `offset`, with the write in place.
function M.merged(old, offset, value, size)
    return old:sub(1, offset) .. bits.pack(value, size) .. old:sub(offset + size + 1)
end

--- Returns a function that removes the hooks.
function M.remove_all(hooks)
    return function()
        for _, hook in ipairs(hooks) do
            hook:remove()
        end
    end
end

--- Keep what is there at what force(bytes) returns. Returns a function that ends it.
local function hold_spans(t, list, force)
    local hooks = {}
    local current = force(read_spans(t, list))
    write_spans(t, list, current)
    local at = 0
    for i, span in ipairs(list) do
        local first = at
        at = at + span[2]
        hooks[i] = t.vm:on("write", { at = span[1], size = span[2], name = "fault" },
            function(offset, value, size)
                offset = first + offset
                current = force(M.merged(read_spans(t, list), offset, value, size))
                return bits.unpack(current:sub(offset + 1, offset + size))
            end)
    end
    return M.remove_all(hooks)
end

--- One that is nowhere may be a module's that comes, if the spec says so.
local function check_symbol(t)
    if not t.spec.symbol then
        return
    end
    local address, missing, problem = t.vm.symbols:lookup(t.spec.symbol)
    if not address and missing == "symbol" and not t.spec.pending then
        t.fail("%s; pending = true waits until one of that name is there", problem)
    end
end

M.add { name = "ram", help = "memory: `size` (1) bytes at gpa, gva or symbol, or in a `range` there",
    keys = { gpa = "integer", gva = "integer", symbol = "string", size = "size",
        range = "size", cpu = "count" },
    open = function(t)
        local by = M.one_of(t, "gpa", "gva", "symbol")
        t.size = check.size(t.spec.size or 1)
        t.range = t.spec.range and check.size(t.spec.range)
        if t.size > RAM_MAX or t.range and t.range < t.size then
            t.fail("size is at most 1M, and no more than range, in which it is chosen")
        end
        t.label = ("%s %s"):format(by, by == "symbol" and t.spec.symbol
            or ("0x%x"):format(t.spec[by]))
        if by == "gpa" then
            t.gpa = t.spec.gpa
            check_ram(t, t.gpa, t.range or t.size)
        else
            t.gva = t.spec.gva
            t.cpu = M.cpu(t)
            check_symbol(t)
        end
    end,
    ready = function(t)
        if t.spec.symbol then
            t.gva = t.attempt(t.vm.symbols.lookup, t.vm.symbols, t.spec.symbol)
        end
        return (t.gpa or t.gva) ~= nil
    end,
    read = function(t)
        t.spans = spans(t)
        return read_spans(t, t.spans)
    end,
    write = function(t, bytes)
        write_spans(t, t.spans, bytes)
    end,
    note = function(t)
        return { address = t.spans[1][1] }
    end,
    --- A reset fills memory anew, and may move what a symbol stands for.
    hold = function(t, force)
        local list = spans(t)
        local gva, stop = t.gva, hold_spans(t, list, force)
        local hooks = { t.vm:on("state", { state = "reset", name = "fault" }, function()
            if stop then
                stop()
                stop = hold_spans(t, list, force)
            end
        end) }
        if t.spec.symbol then
            hooks[2] = t.vm:on("symbols", { name = "fault" }, function()
                if M.rows.ram.ready(t) and t.gva == gva and stop then
                    return
                elseif stop then
                    stop()
                    stop = nil
                end
                gva = t.gva
                list = gva and t.attempt(spans, t)
                stop = list and hold_spans(t, list, force)
            end)
        end
        local remove = M.remove_all(hooks)
        return function()
            remove()
            if stop then
                stop()
            end
        end
    end }

-- ---- registers ----

local narrow = { gdt_limit = 2, idt_limit = 2, mxcsr = 4, fcw = 2, fsw = 2 }
for _, name in ipairs { "cs", "ss", "ds", "es", "fs", "gs", "ldt", "tr" } do
    narrow[name] = 2
end

local function field(object, name)
    return object[name]
end

M.add { name = "reg", help = "register `reg` of `cpu` (0)",
    keys = { reg = "string", cpu = "count", step = "positive" }, required = { "reg" },
    open = function(t)
        t.cpu = M.cpu(t)
        t.reg = t.spec.reg
        t.label = t.reg
        local ok, problem = pcall(field, t.cpu, t.reg)
        if not ok and not tostring(problem):find("is running", 1, true) then
            t.fail("%s", check.plain(problem))
        elseif t.spec.step and not t.effect.lasting then
            t.fail("step is for effects that last, such as stuck-at-1")
        end
    end,
    read = function(t)
        local v = t.cpu[t.reg]
        return type(v) == "string" and v or bits.pack(v, narrow[t.reg] or 8)
    end,
    write = function(t, bytes)
        local text = type(t.cpu[t.reg]) == "string"
        t.cpu[t.reg] = text and bytes or bits.unpack(bytes)
    end,
    hold = function(t, force)
        local row = M.rows.reg
        local function again()
            local bytes = row.read(t)
            local forced = force(bytes)
            if forced ~= bytes then
                row.write(t, forced)
            end
        end
        again()
        local hook = t.vm:on("insn", { every = t.spec.step or 1, name = "fault" }, again)
        return function()
            hook:remove()
        end
    end }

return M
