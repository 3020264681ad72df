--- Targets that go by: what devices read and are written, ports, DMA, MSRs, IRQ lines.
--
-- watch(t, offer) calls offer(e) for each event and does what it finds in e afterwards. e.bytes is
-- the value or the frame and may be replaced, e.dropped = true keeps it from happening, e.taken says
-- that it comes later; the fields that t.show(e) returns are recorded.
local bits = require "perilune.fault.bits"
local check = require "perilune.fault.check"
local target = require "perilune.fault.target"
local util = require "perilune.util"

local remove_all = target.remove_all

--- What a hook on a value answers after the offer.
local function verdict(e, old, read)
    if e.dropped and read then
        return bits.unpack(("\xff"):rep(e.size))
    elseif e.dropped then
        return false
    elseif e.bytes ~= old then
        return bits.unpack(e.bytes)
    end
end

local function offer_value(offer, e, value)
    local bytes = bits.pack(value, e.size)
    e.bytes = bytes
    offer(e)
    return verdict(e, bytes, e.dir == "read")
end

--- Reads, writes or both, as the spec says and the effect allows.
local function directions(t)
    local dir = t.spec.dir
    if t.effect.flow and dir == "read" then
        t.fail("%s is about writes; a read cannot wait", t.effect.name)
    end
    dir = dir or t.effect.flow and "write" or nil
    return dir ~= "write", dir ~= "read"
end

local function show_access(e)
    return { address = e.address, size = e.size, dir = e.dir }
end

--- Do f now, or `ns` later.
local function later(t, ns, f)
    if ns == 0 then
        f()
    else
        t.vm:at(t.vm.clock.virtual.now + ns, f)
    end
end

-- ---- device memory ----

local function find_device(t)
    return type(t.spec.device) == "string"
        and require("perilune.monitor.devices").find_device(t.vm, t.spec.device) or t.spec.device
end

--- Where the windows of a device are: { { first, last }, ... }, memory or ports.
local function windows(t, ports)
    local info, list = find_device(t):info(), {}
    for i, w in ipairs(info.mmio or {}) do
        if not ports and w.addr ~= -1 and (not t.spec.window or t.spec.window == i - 1) then
            list[#list + 1] = { w.addr, w.addr + w.last }
        end
    end
    for _, bar in ipairs(info.pci and info.pci.bars or {}) do
        if (bar.kind == "i/o") == ports and bar.addr > 0
            and (not t.spec.window or t.spec.window == bar.index) then
            list[#list + 1] = { bar.addr, bar.addr + bar.size - 1 }
        end
    end
    return list
end

local function regions(t, space)
    local list, names = {}, {}
    for _, r in ipairs(space:flat().ranges) do
        names[#names + 1] = r.name
        if r.name == t.spec.region then
            list[#list + 1] = { r.start, r.last }
        end
    end
    return list, names
end

--- Register spec.reg of spec.device: its device, its entry in the device's list.
local function find_register(t)
    local device, names = find_device(t), {}
    local name, index = t.spec.reg:match("^([^%[]+)%[?(%d*)%]?$")
    for i, r in ipairs(device:registers()) do
        names[i] = r.name
        if r.name == name then
            device:reg(t.spec.reg) -- its error is the best one for what is wrong with the index
            t.label = ("%s %s"):format(tostring(t.spec.device), t.spec.reg)
            return device, r, math.tointeger(tonumber(index))
        end
    end
    t.fail("%s", util.suggest(('%s has no register "%s"'):format(tostring(t.spec.device),
        t.spec.reg), t.spec.reg, names))
end

--- Where the register is now: it moves with its window, which has the region of its name in it.
local function register_address(t, register, index)
    local list = windows(t, false)
    local first = list[1] and list[1][1]
    for _, w in ipairs(list) do
        for _, r in ipairs(#list > 1 and t.vm.memory:flat().ranges or {}) do
            if r.name == register.window and r.start >= w[1] and r.start <= w[2] then
                first = w[1]
            end
        end
    end
    return first + register.offset + (index or 0) * register.width // 8
end

--- An area that hooks find by the register's name.
local function register_area(t)
    if not t.spec.device or t.spec.window or t.spec.offset or t.spec.size then
        t.fail("reg goes with device, and with no window, offset or size")
    end
    local device, register, index = find_register(t)
    return { { filter = { device = device, reg = t.spec.reg }, address = function()
        return register_address(t, register, index)
    end } }
end

--- { { first, last }, ... } that the spec means, in `space`.
local function areas(t, key, space)
    local by = target.one_of(t, key, "device", "region")
    local list, names
    if t.spec.reg then
        return register_area(t)
    elseif by == key then
        list = { { t.spec[key], t.spec[key] + (t.spec.size or 1) - 1 } }
    elseif by == "device" then
        list = windows(t, key == "port")
    else
        list, names = regions(t, space)
    end
    if #list == 0 then
        t.fail("%s %s has no such %s now%s", by, tostring(t.spec[by]),
            key == "port" and "ports" or "memory",
            names and "; there are " .. table.concat(names, ", ") or "")
    elseif by ~= key and t.spec.size then
        list = { { list[1][1], list[1][1] + t.spec.size - 1 } }
    end
    local offset = by ~= key and t.spec.offset or 0
    list[1][1] = list[1][1] + offset
    if by ~= key and t.spec.size then
        list[1][2] = list[1][2] + offset
    end
    t.label = by == key and ("0x%x"):format(t.spec[key]) or tostring(t.spec[by])
    return list
end

local place_keys = { device = "object", window = "count", region = "string", offset = "count",
    size = "positive", dir = "direction" }

local function keys(more)
    local all = {}
    for k, v in pairs(place_keys) do
        all[k] = v
    end
    for k, v in pairs(more) do
        all[k] = v
    end
    return all
end

local function write_value(space, e, value)
    space:write(e.address, e.size, value)
end

local function sender(name)
    return function(t, e, ns)
        local value = bits.unpack(e.bytes)
        later(t, ns, function()
            write_value(t.vm[name], e, value)
        end)
    end
end

--- A write that the guest did not make.
local function spurious_write(name, key)
    return function(t, spec)
        if not spec[key] or not spec.value then
            error(("a spurious write needs %s and value"):format(key), 0)
        end
        local size = spec.size or 1
        local value = type(spec.value) == "string" and bits.unpack(spec.value) or spec.value
        t.vm[name]:write(spec[key], size, value)
        return { address = spec[key], size = size, after = value }
    end
end

target.add { name = "mmio", help = "what device registers in memory answer and are written",
    keys = keys { gpa = "integer", reg = "string" },
    open = function(t)
        t.areas = areas(t, "gpa", t.vm.memory)
        t.reads, t.writes = directions(t)
    end,
    show = show_access, refuse = true, ordered = true,
    watch = function(t, offer)
        local hooks = {}
        local function add(event, area)
            local filter = { name = "fault", phase = t.effect.before and "before" or "after" }
            for key, value in pairs(area.filter or { at = area }) do
                filter[key] = value
            end
            hooks[#hooks + 1] = t.vm:on(event, filter, function(offset, value, size)
                local first = area.address and area.address() or area[1]
                return offer_value(offer, { dir = event, address = first + offset, size = size },
                    value)
            end)
        end
        for _, area in ipairs(t.areas) do
            if t.reads then
                add("read", area)
            end
            if t.writes then
                add("write", area)
            end
        end
        return remove_all(hooks)
    end,
    send = sender "memory", again = sender "memory",
    spurious = spurious_write("memory", "gpa") }

target.add { name = "pio", help = "what ports answer and are written",
    keys = keys { port = "count" },
    open = function(t)
        t.areas = areas(t, "port", t.vm.io)
        t.reads, t.writes = directions(t)
    end,
    show = show_access, refuse = true, ordered = true,
    watch = function(t, offer)
        local hooks = {}
        local dir = t.reads and t.writes and "both" or t.reads and "in" or "out"
        for i, area in ipairs(t.areas) do
            hooks[i] = t.vm:on("pio", { port = area, dir = dir, name = "fault",
                phase = t.effect.before and "before" or "after" },
                function(port, value, size, direction)
                    return offer_value(offer, { address = port, size = size,
                        dir = direction == "in" and "read" or "write" }, value)
                end)
        end
        return remove_all(hooks)
    end,
    send = sender "io", again = sender "io",
    spurious = spurious_write("io", "port") }

--- Of transfers, writes can come late, twice and in another order: nobody waits for them.
local function send_bytes(t, e, ns)
    later(t, ns, function()
        t.vm.memory:write_bytes(e.address, e.bytes)
    end)
end

target.add { name = "dma", help = "what PCI function `device` reads from memory and writes to it",
    keys = { device = "object", dir = "direction" }, required = { "device" }, refuse = true,
    ordered = true,
    open = function(t)
        t.device = find_device(t)
        t.label = tostring(t.spec.device)
        if not t.device:info().pci then
            t.fail("%s is not a PCI function", t.label)
        end
        local reads, writes = directions(t)
        t.dir = not (reads and writes) and (reads and "read" or "write") or nil
    end,
    show = show_access,
    watch = function(t, offer)
        return remove_all { t.vm:on("dma", { device = t.device, dir = t.dir, name = "fault" },
            function(_, address, bytes, dir)
                local e = { bytes = bytes, address = address, size = #bytes, dir = dir }
                offer(e)
                if e.dropped then
                    return e.taken and "" or false
                end
                return e.bytes ~= bytes and e.bytes or nil
            end) }
    end,
    send = send_bytes, again = send_bytes }

target.add { name = "msr", help = "what RDMSR gives and WRMSR writes",
    keys = { index = "count", cpu = "count", dir = "direction" }, required = { "index" },
    open = function(t)
        t.label = ("0x%x"):format(t.spec.index)
        t.reads, t.writes = directions(t)
    end,
    show = show_access,
    watch = function(t, offer)
        return remove_all { t.vm:on("msr", { index = t.spec.index, cpu = t.spec.cpu,
            name = "fault" }, function(_, index, value, dir)
            if dir == "read" and t.reads or dir == "write" and t.writes then
                return offer_value(offer, { dir = dir, address = index, size = 8 }, value)
            end
        end) }
    end }

-- ---- lines ----

local function level_bytes(level)
    return level and "\1" or "\0"
end

target.add { name = "irq", help = "a line: `line`, or input `gpio`, `n` (0) of `device`",
    keys = { line = "any", device = "object", gpio = "string", n = "count" },
    open = function(t)
        t.bits = 1
        if target.one_of(t, "line", "device") == "line" then
            t.line = t.spec.line
        else
            t.line = find_device(t):gpio_in(t.spec.gpio or "", t.spec.n or 0)
        end
        t.label = t.spec.device and ("%s %d"):format(tostring(t.spec.device), t.spec.n or 0)
            or ("line %d"):format(t.line.number)
    end,
    show = function(e)
        return { level = e.level }
    end,
    read = function(t)
        return level_bytes(t.line.level)
    end,
    write = function(t, bytes)
        t.line:set(bits.unpack(bytes) & 1 == 1)
    end,
    --- What drives the line goes on doing so, unseen; in the end it takes effect.
    hold = function(t, force)
        local function forced(level)
            return bits.unpack(force(level_bytes(level))) & 1 == 1
        end
        t.line:force(forced(t.line.level))
        local hook = t.vm:on("irq", { line = t.line, name = "fault" }, function(_, level)
            return forced(level) == level
        end)
        return function()
            hook:remove()
            t.line:force(t.line.driven)
        end
    end,
    watch = function(t, offer)
        return remove_all { t.vm:on("irq", { line = t.line, name = "fault" }, function(_, level)
            local e = { level = level, bytes = level_bytes(level) }
            offer(e)
            return not e.dropped
        end) }
    end,
    send = function(t, e, ns)
        later(t, ns, function()
            t.line:set(e.level)
        end)
    end,
    --- There and back, before the change itself, or later.
    again = function(t, _, ns)
        later(t, ns, function()
            local level = t.line.level
            t.line:set(not level)
            t.line:set(level)
        end)
    end,
    --- A pulse, `time` long if that is given.
    spurious = function(t, spec)
        local before = t.line.level
        t.line:set(not before)
        later(t, check.time(spec.time or 0), function()
            t.line:set(before)
        end)
        return { before = before and 1 or 0, after = before and 0 or 1 }
    end }

return { find_device = find_device, find_register = find_register, remove_all = remove_all,
    offer_value = offer_value, show_access = show_access, directions = directions }
