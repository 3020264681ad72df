--- Clusters: several machines on one virtual clock, joined by links. docs/cluster.md is the contract;
-- the time and the frames are src/vm/cluster.c's.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

-- ---- links ----

local Link = { __name = "cluster link" }

local link_methods = {}

--- Take it away; frames under way are lost.
function link_methods.remove(link)
    rawget(link, "cluster").core:unlink(link.name)
end

--- { frames, bytes, dropped }: sent by all machines.
function link_methods.stats(link)
    local info = rawget(link, "cluster").core:link_info(link.name)
    return { frames = info.frames, bytes = info.bytes, dropped = info.dropped }
end

local link_fields = { "name", "up", "latency_ns", "ports" }

local function unknown(object, name, fields, methods)
    local names = util.sorted_keys(methods)
    table.move(fields, 1, #fields, #names + 1, names)
    util.fail(util.suggest(('%s has no "%s"'):format(tostring(object), tostring(name)),
        tostring(name), names))
end

local function has(list, name)
    for _, each in ipairs(list) do
        if each == name then
            return true
        end
    end
    return false
end

function Link.__index(link, name)
    if link_methods[name] then
        return link_methods[name]
    elseif not has(link_fields, name) then
        unknown(link, name, link_fields, link_methods)
    end
    return rawget(link, "cluster").core:link_info(rawget(link, "name"))[name]
end

function Link.__newindex(link, name, value)
    if name ~= "up" then
        util.fail(('"%s" of a cluster link cannot be set; "up" can'):format(tostring(name)))
    end
    rawget(link, "cluster").core:set_up(link.name, value)
end

function Link.__tostring(link)
    return ('cluster link "%s"'):format(rawget(link, "name"))
end

local function link_handle(cluster, name)
    return setmetatable({ cluster = cluster, name = name }, Link)
end

-- ---- clusters ----

local Cluster = { __name = "cluster" }

local methods = {}

--- A port, or the only wire of a machine.
local function wire(end_)
    local label = type(end_) == "userdata" and core.names(end_) and tostring(end_)
    if not label then
        util.fail(("a link joins ports (vm.net.ID) or machines, not a %s"):format(type(end_)))
    elseif label:find("^network port") then
        return end_
    elseif not label:find("^vm ") then
        util.fail(("a link joins ports (vm.net.ID) or machines, not %s"):format(label))
    end
    local found
    local ports = end_.net
    for _, id in ipairs(util.sorted_keys(ports)) do
        if ports[id].kind == "wire" then
            if found then
                util.fail(("%s has several wires (%s, %s): name one, as in vm.net.%s"):format(
                    label, found.id, id, id))
            end
            found = ports[id]
        end
    end
    return found or util.fail(label .. " has no wire; give it one with nic = \"wire\"")
end

local link_options = { "name", "latency" }

local function join(cluster, what, ends, options)
    options = options or {}
    for _, key in ipairs(util.sorted_keys(options)) do
        if not has(link_options, key) then
            util.fail(util.suggest(('%s: unknown key "%s"'):format(what, key), key, link_options))
        end
    end
    local ports = {}
    for i, each in ipairs(ends) do
        ports[i] = wire(each)
    end
    return link_handle(cluster, cluster.core:link(options.name, options.latency, ports))
end

--- link(a, b [, { name =, latency = }]): join two wires (or machines that have one each).
function methods.link(cluster, a, b, options)
    return join(cluster, "link", { a, b }, options)
end

--- hub { a, b, ..., name =, latency = }: what one sends, all others get.
function methods.hub(cluster, spec)
    if type(spec) ~= "table" then
        util.fail("hub takes a table: hub { a, b, c }")
    end
    local ends, options = {}, {}
    for key, value in pairs(spec) do
        if math.type(key) == "integer" then
            ends[key] = value
        else
            options[tostring(key)] = value
        end
    end
    return join(cluster, "hub", ends, options)
end

--- In order of making.
function methods.links(cluster)
    local list = cluster.core:links()
    for i, name in ipairs(list) do
        list[i] = link_handle(cluster, name)
    end
    return list
end

--- run(): until all machines have ended or one pauses. run("2s") also until that virtual time, run(f)
-- until f() is true at the end of a quantum.
function methods.run(cluster, until_)
    if type(until_) == "function" then
        cluster.core:run(nil, until_)
    else
        cluster.core:run(until_)
    end
    return cluster
end

function methods.resume(cluster)
    cluster.core:resume()
end

function methods.pause(cluster, reason)
    cluster.core:pause(reason)
end

--- End all machines.
function methods.stop(cluster, reason, status)
    cluster.core:stop(reason, status)
end

--- Reset all machines.
function methods.reset(cluster)
    for _, vm in ipairs(cluster.members) do
        vm:reset()
    end
end

--- Add a machine that stands still.
function methods.add(cluster, vm)
    cluster.core:add(vm)
end

--- Dissolve it: the machines stay, each on a clock of its own.
function methods.close(cluster)
    cluster.core:close()
end

--- What has happened, as data.
function methods.stats(cluster)
    local machines, links = {}, {}
    for i, vm in ipairs(cluster.members) do
        machines[i] = require("perilune.stats").collect(vm)
    end
    for _, link in ipairs(cluster:links()) do
        links[link.name] = link:stats()
    end
    return { name = cluster.name, virtual_ns = cluster.now, quanta = cluster.quanta,
        machines = machines, links = links }
end

local getters = {
    members = function(cluster)
        return cluster.core:members()
    end,
    --- { { vm =, reason =, status = }, ... } of those that have ended.
    exit = function(cluster)
        local list = {}
        for _, vm in ipairs(cluster.members) do
            if vm.state == "ended" then
                list[#list + 1] = { vm = vm, reason = vm.exit_reason, status = vm.exit_status }
            end
        end
        return list
    end,
    --- The first that is not 0, in order of the machines; nil while one has not ended.
    exit_status = function(cluster)
        local status = 0
        for _, vm in ipairs(cluster.members) do
            if vm.state ~= "ended" then
                return nil
            end
            status = status == 0 and vm.exit_status or status
        end
        return status
    end,
}

local status_fields = { "state", "now", "quanta", "latency_ns", "pause_reason", "paused_by" }

local function fields()
    local names = util.sorted_keys(getters)
    return table.move(status_fields, 1, #status_fields, #names + 1, names)
end

function Cluster.__index(cluster, name)
    if methods[name] then
        return methods[name]
    elseif getters[name] then
        return getters[name](cluster)
    elseif not has(status_fields, name) then
        unknown(cluster, name, fields(), methods)
    end
    return rawget(cluster, "core"):status()[name]
end

function Cluster.__newindex(_, name)
    util.fail(('"%s" of a cluster cannot be set'):format(tostring(name)))
end

function Cluster.__tostring(cluster)
    return ('cluster "%s"'):format(rawget(cluster, "name"))
end

function Cluster.__close(cluster)
    cluster:close()
end

local option_keys = {
    { "latency", "duration", "the least latency of a link; 100us unless given" },
    { "name", "string", "what it is called; cluster unless given" },
    { "parallel", "boolean", "one thread for each machine" },
}

local options = {}
for i, row in ipairs(option_keys) do
    options[i] = row[1]
end

--- cluster { vm, ..., latency = "100us", name = "cluster", parallel = false }
function M.new(spec)
    if type(spec) ~= "table" then
        util.fail("cluster takes a table: cluster { a, b, latency = \"100us\" }")
    end
    for _, key in ipairs { "name", "parallel" } do
        local wanted = key == "name" and "string" or "boolean"
        if spec[key] ~= nil and type(spec[key]) ~= wanted then
            util.fail(("cluster: %s must be a %s, not a %s"):format(key, wanted, type(spec[key])))
        end
    end
    for key in pairs(spec) do
        if math.type(key) ~= "integer" and not has(options, key) then
            util.fail(util.suggest(('cluster: unknown key "%s"'):format(tostring(key)),
                tostring(key), options))
        end
    end
    if #spec == 0 then
        util.fail("a cluster needs a machine or more: cluster { a, b, latency = \"100us\" }")
    end
    local name = spec.name or "cluster"
    local cluster = setmetatable({
        name = name,
        core = core.new_cluster(name, spec.latency or "100us", spec.parallel),
    }, Cluster)
    for _, vm in ipairs(spec) do
        local ok, problem = pcall(cluster.core.add, cluster.core, vm)
        if not ok then
            cluster.core:close()
            error(problem, 0)
        end
    end
    return cluster
end

-- ---- reference ----

M.reference = {
    { name = "perilune.cluster", label = "module", help = "clusters of machines", of = M, functions = {
        { "new", "(options: cluster.options) → cluster", "what perilune.cluster() is" },
    } },
    { name = "cluster.options", label = "table", keys = option_keys,
        help = "what perilune.cluster takes: machines, and these keys" },
    { name = "cluster", label = "cluster", help = "machines on one virtual clock: perilune.cluster()",
        of = methods, methods = {
            { "link", "(a: vm or port, b: vm or port [, { name =, latency = }]) → cluster_link",
                "join two wires; a machine stands for its only one" },
            { "hub", "(spec: table) → cluster_link",
                "hub { a, b, ..., name =, latency = }: what one sends, all others get" },
            { "links", "() → { cluster_link, ... }", "in order of making" },
            { "run", "([until_: time or f]) → cluster",
                "until all have ended or one pauses; also until a virtual time, or until f() is true" },
            { "resume", "()", "run without waiting" },
            { "pause", "([reason])", "stop all at the end of the quantum" },
            { "stop", "([reason [, status]])", "end all machines" },
            { "reset", "()", "reset all machines" },
            { "add", "(vm)", "add a machine that stands still" },
            { "close", "()", "dissolve it; the machines stay, each on a clock of its own" },
            { "stats", "() → table", "what has happened, as data" },
        },
        property_names = fields,
        properties = {
            { "name", "string", "what it is called" },
            { "state", "string", "how it stands" },
            { "now", "integer", "virtual time that all have reached, ns" },
            { "quanta", "integer", "how many there were" },
            { "latency_ns", "integer", "the least latency of a link, ns" },
            { "pause_reason", "string or nil", "why it was paused; nil: it was not" },
            { "paused_by", "vm or nil", "the machine that paused it; nil: none" },
            { "members", "{ vm, ... }", "machines, in the order of adding" },
            { "exit", "{ { vm =, reason =, status = }, ... }", "those that have ended" },
            { "exit_status", "integer or nil",
                "the first that is not 0, in order of the machines; nil while one has not ended" },
        } },
    { name = "cluster_link", label = "cluster link", help = "what joins wires of machines",
        of = link_methods, methods = {
            { "remove", "()", "take it away; frames under way are lost" },
            { "stats", "() → { frames =, bytes = integer, dropped = }", "sent by all machines" },
        },
        property_names = function()
            return link_fields
        end,
        properties = {
            { "name", "string", "its name" },
            { "up", "boolean", "is it plugged in; frames are lost while it is not", writable = true },
            { "latency_ns", "integer", "how long a frame takes, ns" },
            { "ports", "{ port, ... }", "the wires that it joins" },
        } },
}

return M
