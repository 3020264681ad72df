--- Monitor commands that change the machine's parts: devices, properties, networks.
local chardev = require "perilune.chardev"
local core = require "perilune.core"
local filter = require "perilune.filter"
local util = require "perilune.util"

local M = {}

-- ---- finding ----

--- The device of a path: whole, an end of it that is unique, or a type of which there is one.
function M.find_device(vm, path)
    return vm:device(path)
end

local function property_row(device, name)
    local names = {}
    for _, p in ipairs(device:properties()) do
        if p.name == name then
            return p
        end
        names[#names + 1] = p.name
    end
    util.fail(util.suggest(('%s has no property "%s"'):format(tostring(device), name), name, names))
end

--- What is written for a property: on, off, numbers and text.
local function parse_value(text)
    local number = math.tointeger(tonumber(text))
    if number then
        return number
    end
    local flag = util.parse_bool(text)
    return flag == nil and text or flag
end

--- Text and integers both fit where only the other was meant: the property says what it takes.
local function set_property(device, name, given)
    property_row(device, name)
    if type(given) ~= "string" then
        device:set(name, given)
        return
    end
    local ok = pcall(device.set, device, name, parse_value(given))
    if not ok then
        device:set(name, given)
    end
end

-- ---- qom ----

--- Children of a path: { { name, kind }, ... }, properties after devices.
local function list(vm, path)
    local rows = {}
    local prefix = path:gsub("/+$", "")
    local seen = {}
    for _, d in ipairs(vm:devices()) do
        local child = d.path and d.path:sub(1, #prefix + 1) == prefix .. "/"
            and d.path:sub(#prefix + 2):match("^[^/]+")
        if child and not seen[child] then
            seen[child] = true
            rows[#rows + 1] = { name = child,
                kind = "child<" .. (d.path == prefix .. "/" .. child and d.type or "container") .. ">" }
        end
    end
    if #rows == 0 or not (prefix == "" or prefix == "/machine") then
        local ok, device = pcall(M.find_device, vm, path)
        if ok then
            for _, p in ipairs(device:properties()) do
                rows[#rows + 1] = { name = p.name, kind = "property", text = p.text }
            end
        elseif #rows == 0 then
            error(device, 0)
        end
    end
    return rows
end

local function show_rows(rows)
    local lines = {}
    for i, row in ipairs(rows) do
        lines[i] = ("%s (%s)%s"):format(row.name, row.kind, row.text and " = " .. row.text or "")
    end
    return table.concat(lines, "\n")
end

local path_row = { "path", "word", help = "of a device, or an end of it that is unique" }

local function register_qom(monitor)
    monitor.command { name = "qom-list", help = "what is under a path",
        args = { { "path", "word", optional = true, help = "/machine by default" } },
        run = function(a)
            return list(monitor.vm(), a.path or "/machine")
        end,
        show = show_rows }
    monitor.command { name = "qom-get", help = "a device's property",
        args = { path_row, { "property", "word" } },
        run = function(a)
            local device = M.find_device(monitor.vm(), a.path)
            property_row(device, a.property)
            return device:get(a.property)
        end }
    monitor.command { name = "qom-set", help = "change a device's property",
        args = { path_row, { "property", "word" }, { "value", "rest" } },
        run = function(a)
            set_property(M.find_device(monitor.vm(), a.path), a.property, a.value)
        end }
end

-- ---- adding ----

local function add_device(vm, spec)
    local plain, keyed = util.parse_list(spec)
    local kind = plain[1] or keyed.driver and keyed.driver[1]
    if not kind then
        util.fail("device_add: a type is missing; --device help lists them")
    end
    local props = {}
    for key, values in pairs(keyed) do
        if key ~= "driver" then
            props[key] = key == "id" and values[#values] or key == "bus" and values[#values]
                or key == "addr" and values[#values] or parse_value(values[#values])
        end
    end
    return vm.machine:device(kind, props)
end

local function add_netdev(vm, spec)
    local plain, keyed = util.parse_list(spec)
    local id = keyed.id and keyed.id[1]
    if not id then
        util.fail("netdev_add: id=NAME is missing")
    end
    for key in pairs(keyed) do
        if key ~= "id" and key ~= "hostfwd" and key ~= "restrict" and key ~= "type" then
            util.fail(util.suggest(('netdev_add: unknown key "%s"'):format(key), key,
                { "id", "hostfwd", "restrict", "type" }))
        end
    end
    return vm.machine:netdev { type = plain[1] or keyed.type and keyed.type[1], id = id,
        hostfwd = keyed.hostfwd, restrict = keyed.restrict and util.parse_bool(keyed.restrict[1]) }
end

-- ---- objects ----

--- f(...), with the command in front of what it raises.
local function as_command(command, f, ...)
    local ok, result = pcall(f, ...)
    if not ok then
        util.fail(("%s: %s"):format(command, tostring(result)))
    end
    return result
end

local function register_objects(monitor)
    monitor.command { name = "object_add", help = "one more object: a filter on a network",
        args = { { "spec", "rest", usage = "KIND,id=ID,netdev=NETDEV,..." } },
        complete = function()
            return util.sorted_keys(filter.kinds)
        end,
        run = function(a)
            return as_command("object_add", filter.add, monitor.vm(), a.spec)
        end }
    monitor.command { name = "object_del", help = "remove an object",
        args = { { "id", "word" } },
        run = function(a)
            filter.remove(monitor.vm(), a.id)
        end }
end

-- ---- networks ----

--- A network backend by its id; raises with the nearest one.
local function find_netdev(vm, id)
    local names = {}
    for _, port in ipairs(vm.machine:ports()) do
        if port.id == id then
            return port
        end
        names[#names + 1] = port.id
    end
    util.fail(util.suggest(('there is no network "%s"'):format(id), id, names))
end

--- Ports with a NAT, and whatever else sits at links: { id = port }.
function M.ports(vm)
    local ports, order = {}, {}
    for _, link in ipairs(vm:links()) do
        for _, port in ipairs(link.ports) do
            if port.id and not ports[port.id] then
                ports[port.id] = port
                order[#order + 1] = port
            end
        end
    end
    return ports, order
end

--- [netdev] rule → port, rule. Without a name: the only network of the user kind.
local function forward_target(vm, name, rule)
    local ports, order = M.ports(vm)
    if name then
        local names = {}
        for _, p in ipairs(order) do
            names[#names + 1] = p.id
        end
        if not ports[name] then
            util.fail(util.suggest(('there is no network "%s"'):format(name), name, names))
        end
        return ports[name], rule
    end
    local found
    for _, p in ipairs(order) do
        if p.kind == "user" then
            if found then
                util.fail(("there are several networks (%s, %s): name one"):format(found.id, p.id))
            end
            found = p
        end
    end
    if not found then
        util.fail("there is no network of kind user")
    end
    return found, rule
end

local function set_link(vm, name, state)
    local up = util.parse_bool(state)
    if up == nil then
        util.fail(('"%s" is neither on nor off'):format(state))
    end
    local names = {}
    for _, link in ipairs(vm:links()) do
        local hit = link.name == name
        names[#names + 1] = link.name
        for _, port in ipairs(link.ports) do
            names[#names + 1] = port.id
            hit = hit or port.id == name
        end
        if hit then
            link.up = up
            return
        end
    end
    util.fail(util.suggest(('there is no link "%s"'):format(name), name, names))
end

local function register_network(monitor)
    monitor.command { name = "netdev_add", help = "one more network",
        args = { { "spec", "rest", usage = "user,id=ID[,hostfwd=RULE]" } },
        run = function(a)
            return add_netdev(monitor.vm(), a.spec)
        end }
    monitor.command { name = "netdev_del", help = "remove a network that no device uses",
        args = { { "id", "word" } },
        run = function(a)
            find_netdev(monitor.vm(), a.id):remove()
        end }
    for name, help in pairs { hostfwd_add = "forward a port of the host to the guest",
        hostfwd_remove = "end a forwarding" } do
        monitor.command { name = name, help = help,
            args = { { "netdev", "word", optional = true, help = "which, where there are several" },
                { "rule", "word", usage = "RULE", help = "tcp:127.0.0.1:2222-:22" } },
            run = function(a)
                local port, rule = forward_target(monitor.vm(), a.netdev, a.rule)
                port[name](port, rule)
            end }
    end
    monitor.command { name = "set_link", help = "plug or unplug a network cable",
        args = { { "name", "word", help = "of a link or of what sits at it" },
            { "state", "word", help = "on or off" } },
        run = function(a)
            set_link(monitor.vm(), a.name, a.state)
        end }
end

--- What the command line's help prints.
local function help(what, ...)
    require("perilune.cli.help")[what](...)
end

--- What a command does cannot wait for a peer.
local function add_chardev(vm, text)
    local spec = chardev.parse(text)
    if spec.server and spec.wait then
        util.fail("chardev-add: nobody is waited for here; add wait=off")
    end
    return chardev.make(vm.machine, spec)
end

local function register_chardevs(monitor)
    monitor.command { name = "chardev-add", help = "one more character backend",
        args = { { "spec", "rest", usage = "KIND,id=ID[,OPTION=VALUE...]",
            help = "help lists kinds and options" } },
        complete = function()
            return util.sorted_keys(chardev.kinds)
        end,
        run = function(a)
            if a.spec == "help" then
                return help "chardev_help"
            end
            return add_chardev(monitor.vm(), a.spec).filename
        end }
    monitor.command { name = "chardev-remove", help = "take away one that nothing is attached to",
        args = { { "id", "word" } },
        run = function(a)
            monitor.vm():chardev(a.id):remove()
        end }
end

function M.register(monitor)
    register_chardevs(monitor)
    register_qom(monitor)
    register_network(monitor)
    register_objects(monitor)
    monitor.command { name = "device_add", help = "one more device",
        args = { { "spec", "rest", usage = "TYPE[,PROPERTY=VALUE...]",
            help = "help lists types; TYPE,help a type's properties" } },
        complete = function()
            local names = {}
            for _, t in ipairs(core.types()) do
                names[#names + 1] = not t.abstract and t.name or nil
            end
            return names
        end,
        run = function(a)
            local kind = a.spec:match("^([^,]+),help$")
            if a.spec == "help" or kind then
                return help(kind and "device_props_help" or "device_help", kind)
            end
            return add_device(monitor.vm(), a.spec)
        end }
    monitor.command { name = "device_del",
        help = "unplug a device: one in a PCI slot, or written in Lua",
        args = { { "device", "word", help = "its id, or an end of its path that is unique" } },
        run = function(a)
            M.find_device(monitor.vm(), a.device):remove()
        end }
end

return M
