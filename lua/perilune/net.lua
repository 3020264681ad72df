--- Networks of a machine by its properties nic, netdev, device and dump.
local devices = require "perilune.device"
local util = require "perilune.util"

local M = {}

local function single(owner, keyed, key)
    local values = keyed[key]
    if values and #values > 1 then
        util.fail(('%s: "%s" is given twice'):format(owner, key))
    end
    return values and values[1]
end

--- "user,id=n1,hostfwd=..." or a table → a table; `known` are its keys, those in `lists` may
-- repeat.
local function parse(owner, spec, known, lists)
    local out = {}
    if type(spec) == "table" then
        for key, value in pairs(spec) do
            out[key == 1 and "type" or key] = value
        end
    else
        local plain, keyed = util.parse_list(spec)
        out.type = plain[1]
        if plain[2] then
            util.fail(('%s: "%s" is not of the form key=value'):format(owner, plain[2]))
        end
        for key in pairs(keyed) do
            out[key] = lists[key] and keyed[key] or single(owner, keyed, key)
        end
    end
    for _, key in ipairs(util.sorted_keys(out)) do
        local found = not known
        for _, name in ipairs(known or {}) do
            found = found or name == key
        end
        if not found then
            util.fail(util.suggest(('%s: unknown key "%s"'):format(owner, key), key, known))
        end
    end
    return out
end

local function boolean(owner, key, value)
    if type(value) ~= "string" then
        return value
    end
    local b = util.parse_bool(value)
    if b == nil then
        util.fail(('%s: %s: "%s" is neither on nor off'):format(owner, key, value))
    end
    return b
end

--- What a machine's network is made of while it is built.
local Builder = {}
Builder.__index = Builder

function Builder:hub(id)
    self.hubs[id] = self.hubs[id] or self.m:hub("hub" .. id)
    return self.hubs[id]
end

--- A port by the id that the user gave: hub ports have names of their own.
function Builder:port(id)
    return self.ports[id] or id
end

function Builder:netdev(spec)
    local n = parse("netdev", spec, { "type", "id", "hostfwd", "restrict", "hubid", "netdev" },
        { hostfwd = true })
    if not n.id then
        util.fail("netdev: an id is needed, for example user,id=n1")
    elseif self.ports[n.id] then
        util.fail(('netdev: the id "%s" is taken'):format(n.id))
    end
    if n.type == "hubport" then
        if not n.hubid then
            util.fail(('netdev "%s": a hubport needs hubid='):format(n.id))
        end
        self.ports[n.id] = self:hub(n.hubid):port()
        if n.netdev then
            self.m:link(self.ports[n.id], self.ports[n.netdev]
                or util.fail(('netdev "%s": there is no network backend "%s"'):format(n.id,
                    n.netdev)))
        end
    else
        self.ports[n.id] = self.m:netdev {
            type = n.type or "",
            id = n.id,
            hostfwd = n.hostfwd,
            restrict = boolean("netdev", "restrict", n.restrict),
        }
    end
end

function Builder:nic(spec, index)
    local n = parse("nic", spec,
        { "type", "id", "mac", "model", "hostfwd", "restrict", "addr", "dump", "netdev" },
            { hostfwd = true })
    if n.type == "none" then
        return index
    elseif n.type ~= "user" and n.type ~= "wire" and n.type ~= "hubport" then
        local problem = util.suggest(('there is no type "%s"; use none, user or wire'):format(n.type or ""),
            n.type or "", { "none", "user", "wire" })
        util.fail("nic: " .. problem, { property = "nic", problem = problem })
    end
    local id = n.id or "net" .. index
    self:netdev { type = n.type, id = id, hostfwd = n.hostfwd, restrict = n.restrict }
    self.add_nic({ model = n.model, mac = n.mac, addr = n.addr, netdev = self.ports[id] }, index)
    if n.dump then
        self.m:dump(self.ports[id], n.dump)
    end
    return index + 1
end

function Builder:device(spec)
    local d = parse("device", spec, nil, {})
    local type_name = d.type or d.driver
    if not type_name then
        util.fail("device: a type is needed, for example e1000,netdev=n1")
    end
    d.type, d.driver = nil, nil
    if type(d.netdev) == "string" then
        d.netdev = self:port(d.netdev)
    end
    devices.provide(self.m, type_name)
    self.m:device(type_name, d)
end

function Builder:dump(spec)
    local d = parse("dump", spec, { "type", "id", "netdev", "file" }, {})
    if not d.netdev or not d.file then
        util.fail("dump: netdev= and file= are needed")
    end
    self.m:dump(self:port(d.netdev), d.file)
end

--- Make all that the properties ask for. `add_nic(nic, index)` puts a card where the machine has
-- one.
function M.build(_, m, p, add_nic)
    local b = setmetatable({ m = m, hubs = {}, ports = {}, add_nic = add_nic }, Builder)
    for _, spec in ipairs(p.netdev) do
        b:netdev(spec)
    end
    local index = 0
    for _, spec in ipairs(p.nic) do
        index = b:nic(spec, index)
    end
    for _, spec in ipairs(p.device) do
        b:device(spec)
    end
    for _, spec in ipairs(p.dump) do
        b:dump(spec)
    end
end

return M
