--- Targets that are things rather than values: links with their packets, PCI functions, registers
-- of devices, cpus.
local bits = require "perilune.fault.bits"
local check = require "perilune.fault.check"
local stream = require "perilune.fault.stream"
local target = require "perilune.fault.target"
local util = require "perilune.util"

-- ---- packets ----

--- The link by its name or by what sits at it; without a name the only one.
local function find_link(t)
    local spec, names = t.spec.link, {}
    local links = t.vm:links()
    if type(spec) == "userdata" then
        return spec
    elseif spec == nil and #links == 1 then
        return links[1]
    end
    for _, link in ipairs(links) do
        names[#names + 1] = link.name
        for _, port in ipairs(link.ports) do
            names[#names + 1] = port.id
            if port.id == spec then
                return link
            end
        end
        if link.name == spec then
            return link
        end
    end
    t.fail("%s", spec == nil and "link is missing" or util.suggest(('there is no link "%s"')
        :format(spec), spec, names))
end

target.add { name = "packet", help = "frames on `link`, in one direction with `from`",
    keys = { link = "object", from = "string" }, frames = true, ordered = true,
    open = function(t)
        t.link = find_link(t)
        t.label = t.link.name
        t.least = 14 -- an Ethernet header
        local ids = {}
        for i, port in ipairs(t.link.ports) do
            ids[i] = port.id
        end
        if t.effect.name == "spurious" and not (t.spec.from and type(t.spec.value) == "string") then
            t.fail("a spurious packet needs from, the port that seems to send it, and value, "
                .. "its bytes")
        elseif t.spec.from and t.spec.from ~= ids[1] and t.spec.from ~= ids[2] then
            t.fail("%s", util.suggest(('link %s has no port "%s"'):format(t.label, t.spec.from),
                t.spec.from, ids))
        end
    end,
    show = function(e)
        return { from = e.from, size = #e.bytes }
    end,
    watch = function(t, offer)
        return stream.remove_all { t.vm:on("packet", { link = t.link, from = t.spec.from,
            name = "fault" }, function(bytes, from)
            local e = { bytes = bytes, from = from }
            offer(e)
            if e.dropped then
                return false
            end
            return e.bytes ~= bytes and e.bytes or nil
        end) }
    end,
    --- Not within the hook that asks: the receiver's doings are seen by hooks, then.
    send = function(t, e, ns)
        t.link:send(e.from, e.bytes, math.max(ns, 1))
    end,
    again = function(t, e, ns)
        t.link:send(e.from, e.bytes, ns)
    end,
    spurious = function(t, spec)
        t.link:send(spec.from, spec.value, 1)
        return { from = spec.from, size = #spec.value }
    end,
    disconnect = function(t)
        local up = t.link.up
        t.link.up = false
        return function()
            t.link.up = up
        end
    end }

-- ---- PCI functions ----

local CONFIG_ADDRESS <const>, CONFIG_DATA <const> = 0xcf8, 0xcfc -- configuration mechanism #1

--- f(port, value, size, dir, offset) for each access to the function's configuration space.
local function on_config(t, before, f)
    local own = 0x80000000 | t.slot << 11 | t.fn << 8
    return t.vm:on("pio", { port = { CONFIG_DATA, CONFIG_DATA + 3 }, name = "fault",
        phase = before and "before" or "after" }, function(port, value, size, dir)
        local address = t.vm.io:read(CONFIG_ADDRESS, 4)
        if address & 0x80ffff00 == own then
            return f(port, value, size, dir, address & 0xfc | port & 3)
        end
    end)
end

target.add { name = "pci", help = "PCI function `device`: its configuration space, or all of it",
    keys = { device = "object", dir = "direction" }, required = { "device" }, refuse = true,
    open = function(t)
        t.device = stream.find_device(t)
        local pci = t.device:info().pci
            or t.fail("%s is not a PCI function", tostring(t.spec.device))
        t.slot, t.fn = pci.slot, pci.fn
        t.label = ("%02x.%x"):format(pci.slot, pci.fn)
        t.reads, t.writes = stream.directions(t)
    end,
    show = stream.show_access,
    watch = function(t, offer)
        return stream.remove_all { on_config(t, t.effect.before,
            function(_, value, size, dir, offset)
                local read = dir == "in"
                if read and t.reads or not read and t.writes then
                    return stream.offer_value(offer, { dir = read and "read" or "write",
                        address = offset, size = size }, value)
                end
            end) }
    end,
    disconnect = function(t)
        local was = t.device.connected
        t.device:disconnect()
        return function()
            if was then
                t.device:connect()
            end
        end
    end }

-- ---- registers of devices ----

target.add { name = "devreg", help = "what register `reg` of `device` holds",
    keys = { device = "object", reg = "string" }, required = { "device", "reg" },
    open = function(t)
        local register, index
        t.device, register, index = stream.find_register(t)
        if register.count > 1 and not index then
            t.fail("%s has %d elements: write %s[0]", t.spec.reg, register.count, t.spec.reg)
        end
        t.size = register.width // 8
    end,
    read = function(t)
        return bits.pack(t.device:reg(t.spec.reg), t.size)
    end,
    write = function(t, bytes)
        t.device:set_reg(t.spec.reg, bits.unpack(bytes))
    end,
    --- What it holds now, what is written to it, and what it gives whoever changed it.
    hold = function(t, force)
        local row = target.rows.devreg
        row.write(t, force(row.read(t)))
        local hooks = {}
        for i, event in ipairs { "read", "write" } do
            hooks[i] = t.vm:on(event, { device = t.device, reg = t.spec.reg, name = "fault" },
                function(offset, value, size)
                    local bytes = force(target.merged(row.read(t), offset, value, size))
                    return bits.unpack(bytes:sub(offset + 1, offset + size))
                end)
        end
        return stream.remove_all(hooks)
    end }

-- ---- cpus ----

target.add { name = "cpu", help = "cpu number `cpu` (0)", keys = { cpu = "count" },
    open = function(t)
        t.cpu = target.cpu(t)
        t.label = tostring(t.cpu.index)
    end,
    --- The address of a page fault is in cr2.
    exception = function(t, spec)
        if spec.addr then
            t.cpu.cr2 = spec.addr
        end
        t.cpu:inject(spec.vector, spec.code)
        return { vector = spec.vector, code = spec.code, address = spec.addr }
    end,
    nmi = function(t)
        t.cpu:nmi()
    end,
    mce = function(t, spec)
        t.cpu:mce { bank = spec.bank, status = spec.status, addr = spec.addr, misc = spec.misc,
            mcg_status = spec.mcg_status }
        return { bank = spec.bank or 0, status = spec.status, address = spec.addr }
    end,
    stall = function(t, spec)
        local ns = check.time(spec.time)
        t.cpu:stall(ns)
        return { time = ns }
    end,
    skew = function(t, spec)
        t.cpu:skew(spec.ppm)
        return function()
            t.cpu:skew(0)
        end
    end }

-- ---- what is not there ----

target.add { name = "disk", help = "disk requests: not there yet",
    missing = "there are no disks yet, so no requests that could fail" }
