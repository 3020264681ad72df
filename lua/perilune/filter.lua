--- Objects: filters on what goes over a network, as object_add and --object make them.
--
-- A kind is a row { keys, required, help, make(vm, id, value) }: value(key) is what was given for it. A filter is
-- { id, kind, remove() }; those written here are packet hooks on the link that the network `netdev` is plugged into.
-- `queue` is the network's own view: "tx" is what it sends (to the guest), "rx" what is sent to it, "all" both.
local util = require "perilune.util"

local M = {}

local of_vm = setmetatable({}, { __mode = "k" }) -- vm → filters written here, in order of making

--- The port of network `id`, plugged in; raises with the nearest one.
local function port_of(vm, id)
    local names = {}
    for _, port in ipairs(vm.machine:ports()) do
        names[#names + 1] = port.id
        if port.id == id then
            return port.link and port
                or util.fail(('"%s" is not plugged in anywhere, so there is nothing to filter'):format(id))
        end
    end
    util.fail(util.suggest(('there is no network "%s"'):format(id), id, names))
end

local function other_end(port)
    local ports = port.link.ports
    return ports[1] == port and ports[2] or ports[1]
end

--- The ids of the ports from which frames are meant.
local function senders(port, queue)
    local ids = { tx = { port.id }, rx = { other_end(port).id }, all = { port.id, other_end(port).id } }
    return ids[queue] or util.fail(util.suggest(('queue: "%s" is none of all, rx, tx'):format(queue), queue,
        { "all", "rx", "tx" }))
end

--- Call f(bytes) with the frames that are meant: what it returns is what a packet hook may. `close` ends more.
local function on_frames(vm, id, port, queue, f, close)
    local hooks = {}
    for i, from in ipairs(senders(port, queue)) do
        hooks[i] = vm:on("packet", { link = port.link, from = from, name = id }, f)
    end
    return function()
        for _, hook in ipairs(hooks) do
            hook:remove()
        end
        if close then
            close()
        end
    end
end

--- A chardev by its id, that no other front end has.
local function chardev_of(vm, id, option)
    local names = {}
    for i, c in ipairs(vm:chardevs()) do
        names[i] = c.id
        if c.id == id then
            if c.attached then
                util.fail(('%s: chardev "%s" serves another front end'):format(option, id))
            end
            return c
        end
    end
    util.fail(util.suggest(('%s: there is no chardev "%s"'):format(option, id), id, names))
end

-- ---- frames on chardevs: a length of 32 bits, high byte first, and the frame, as QEMU writes them ----

local FRAME_MIN <const>, FRAME_MAX <const> = 14, 65664

local function packed(bytes)
    return string.pack(">s4", bytes)
end

--- Returns a function that takes pieces of text and calls take(frame). What is no frame ends it.
local function unpacker(id, take)
    local rest, broken = "", false
    return function(text)
        if broken then
            return
        end
        rest = rest .. text
        while #rest >= 4 do
            local size = string.unpack(">I4", rest)
            if size < FRAME_MIN or size > FRAME_MAX then
                broken = true
                error(("%s: a frame of %d bytes came in: the other end writes something else than lengths of 4 bytes "
                    .. "with frames; nothing more is taken"):format(id, size), 0)
            elseif #rest < 4 + size then
                return
            end
            local frame = rest:sub(5, 4 + size)
            rest = rest:sub(5 + size)
            take(frame)
        end
    end
end

-- ---- kinds ----

M.kinds = {}

M.kinds["filter-dump"] = { keys = { "netdev", "file" }, required = { "netdev", "file" },
    help = "every frame into a pcap file",
    make = function(vm, id, value)
        return vm.machine:dump(value "netdev", value "file", id)
    end }

M.kinds["filter-buffer"] = { keys = { "netdev", "interval", "queue" }, required = { "netdev", "interval" },
    help = "frames wait for the end of an interval, in microseconds of virtual time",
    make = function(vm, id, value)
        local us = math.tointeger(tonumber(value "interval"))
        if not us or us < 1 or us > 3600000000 then
            util.fail(('interval: "%s" is no number of microseconds from 1 to 3600000000'):format(value "interval"))
        end
        return on_frames(vm, id, port_of(vm, value "netdev"), value "queue" or "all", function()
            local ns = us * 1000
            return ns - vm.clock.virtual.now % ns
        end)
    end }

M.kinds["filter-mirror"] = { keys = { "netdev", "outdev", "queue" }, required = { "netdev", "outdev" },
    help = "a copy of each frame to a chardev",
    make = function(vm, id, value)
        local port, out = port_of(vm, value "netdev"), chardev_of(vm, value "outdev", "outdev")
        return on_frames(vm, id, port, value "queue" or "all", function(bytes)
            out:send(packed(bytes))
        end)
    end }

M.kinds["filter-redirector"] = { keys = { "netdev", "indev", "outdev", "queue" }, required = { "netdev" },
    help = "frames to a chardev instead, and from one",
    make = function(vm, id, value)
        local port, queue = port_of(vm, value "netdev"), value "queue" or "all"
        local inward = value "indev" and chardev_of(vm, value "indev", "indev")
        local out = value "outdev" and chardev_of(vm, value "outdev", "outdev")
        if not inward and not out then
            util.fail("one of indev and outdev is needed")
        end
        local ids, link, coming = senders(port, queue), port.link, false
        if inward then
            inward:attach(unpacker(id, function(frame)
                coming = true -- and goes on behind this filter
                for _, from in ipairs(ids) do
                    pcall(link.send, link, from, frame)
                end
                coming = false
            end))
        end
        local function close()
            if inward then
                inward:attach(nil)
            end
        end
        return out and on_frames(vm, id, port, queue, function(bytes)
            if not coming then
                out:send(packed(bytes))
                return false
            end
        end, close) or close
    end }

--- Kinds that people know and that are not here, by pattern: why.
local absent = {
    { "^filter%-replay$", "runs repeat themselves where no network leads outside; filter-dump keeps frames, and "
        .. "link:send() sends them again" },
    { "^filter%-rewriter$", "there is no COLO" },
    { "^colo%-", "there is no COLO" },
    { "^rng%-", "no device takes random numbers" },
    { "^secret", "nothing is encrypted" },
    { "^tls%-", "nothing is encrypted" },
    { "^authz%-", "nobody is authenticated" },
    { "^iothread$", "machines have their threads by themselves" },
    { "^throttle%-group$", "there are no disks" },
    { "^memory%-backend%-", "memory is the machine's property memory" },
}

--- Raise: there is no kind `name`.
function M.unknown(name)
    local known = util.sorted_keys(M.kinds)
    local text = ('there is no kind "%s" (there are: %s)'):format(name, table.concat(known, ", "))
    for _, row in ipairs(absent) do
        if name:match(row[1]) then
            util.fail(text .. ": " .. row[2])
        end
    end
    util.fail(util.suggest(text, name, known))
end

-- ---- objects ----

--- All of a machine: { { id =, remove = }, ... }.
function M.list(vm)
    local list = table.move(of_vm[vm] or {}, 1, #(of_vm[vm] or {}), 1, {})
    for _, dump in ipairs(vm.machine:dumps()) do
        list[#list + 1] = dump
    end
    return list
end

local Filter = { __name = "filter" }
Filter.__index = Filter

function Filter.__tostring(f)
    return ('%s "%s"'):format(f.kind, f.id)
end

function Filter:remove()
    for i, other in ipairs(of_vm[self.vm]) do
        if other == self then
            table.remove(of_vm[self.vm], i)
            self.stop()
            return
        end
    end
end

local function check_keys(name, kind, keyed)
    for _, key in ipairs(util.sorted_keys(keyed)) do
        local known = key == "id" or key == "qom-type"
        for _, k in ipairs(kind.keys) do
            known = known or k == key
        end
        if not known then
            util.fail(util.suggest(('%s has no "%s"'):format(name, key), key, { "id", table.unpack(kind.keys) }))
        end
    end
    for _, key in ipairs(kind.required) do
        if not keyed[key] then
            util.fail(("%s needs %s="):format(name, key))
        end
    end
end

--- "filter-buffer,id=f0,netdev=net0,interval=1000" → the object. Raises, and then there is none.
function M.add(vm, spec)
    local plain, keyed = util.parse_list(spec)
    local name = plain[1] or keyed["qom-type"] and keyed["qom-type"][1] or ""
    local kind = M.kinds[name] or M.unknown(name)
    check_keys(name, kind, keyed)
    local id = keyed.id and keyed.id[1] or util.fail("id=NAME is missing")
    for _, other in ipairs(M.list(vm)) do
        if other.id == id then
            util.fail(('the id "%s" is taken'):format(id))
        end
    end
    local made = kind.make(vm, id, function(key)
        return keyed[key] and keyed[key][1]
    end)
    if type(made) ~= "function" then
        return made
    end
    of_vm[vm] = of_vm[vm] or {}
    local f = setmetatable({ vm = vm, id = id, kind = name, stop = made }, Filter)
    table.insert(of_vm[vm], f)
    return f
end

function M.remove(vm, id)
    local names = {}
    for i, object in ipairs(M.list(vm)) do
        names[i] = object.id
        if object.id == id then
            return object:remove()
        end
    end
    util.fail(util.suggest(('there is no object "%s"'):format(id), id, names))
end

M.reference = {
    { name = "perilune.filter", label = "module", help = "filters on networks: docs/net.md", of = M,
        internal = { "kinds", "unknown" }, functions = {
            { "add", "(vm, spec: string) → filter or dump",
                "one more: \"filter-buffer,id=b,netdev=net0,interval=1000\"" },
            { "remove", "(vm, id: string)", "remove the one of that id" },
            { "list", "(vm) → { filter or dump, ... }", "all of a machine" },
        } },
    { name = "filter", label = "filter", help = "a filter on a network: perilune.filter.add()", of = Filter,
        methods = { { "remove", "()", "end it" } },
        properties = { { "id", "string", "its id" }, { "kind", "string", "such as filter-buffer" },
            { "vm", "vm", "its machine" } } },
}

return M
