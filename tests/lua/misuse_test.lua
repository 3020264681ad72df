-- Every method of every object with arguments that make no sense: errors are fine, anything else is not.
-- Under the sanitizers this is what shows a missing check. Seeded, so that a failure can be had again.
local check = require "check"

local methods = {
    machine = { "ram", "rom", "container", "device", "line", "netdev", "hub", "link", "chardev",
        "find", "load_boot", "load_raw", "cpu" }, -- not dump, which makes files
    vm = { "advance", "stats", "devices", "find", "device", "spaces", "links", "chardevs", "load_raw",
        "load_boot", "resume", "reset" },
    device = { "get", "set", "properties", "gpio_in", "connect", "lines", "map", "reset", "device",
        "is_a", "info", "nonsense" },
    bus = { "device", "name", "devices" },
    region = { "alias", "map", "unmap", "set_enabled", "set_readonly", "children", "target" },
    space = { "map", "read", "write", "read_bytes", "write_bytes", "program_bytes", "flat" },
    irq = { "set", "pulse", "force" },
    port = { "hostfwd_add", "hostfwd_remove", "link" },
    link = { "stats", "up" },
    hub = { "port" },
    chardev = { "write", "read", "on_output", "attach", "send", "focus", "remove" },
}

local seed = 1
local function random(n)
    seed = seed * 6364136223846793005 + 1442695040888963407
    return (seed >> 33) % n + 1
end

local function collect(vm)
    local m = vm.machine
    local region = m:ram("extra", "64K")
    local objects = {
        { "machine", m }, { "vm", vm }, { "bus", vm.main_bus }, { "space", vm.memory }, { "space", vm.io },
        { "region", region }, { "region", vm.memory.root }, { "region", region:alias("a", 0, 4096) },
        { "irq", m:line() }, { "hub", m:hub("h") }, { "port", m:netdev { type = "user", id = "n9" } },
        { "chardev", m:chardev { type = "ring", id = "r9" } },
    }
    for _, d in ipairs(vm:devices()) do
        objects[#objects + 1] = { "device", d }
        for _, b in ipairs(d.buses) do
            objects[#objects + 1] = { "bus", b }
        end
    end
    for _, l in ipairs(vm:links()) do
        objects[#objects + 1] = { "link", l }
    end
    return objects
end

--- Never a size that would be had: hundreds of them are.
local scalars = { 0, 1, -1, 3, 8, 4095, 1 << 62, math.mininteger, 0.5, 1 / 0, "", "x", "isa-serial", "e1000", "PIIX3",
    "irq-splitter", "apic", "a20-gate", "i440FX-pcihost", "nothing", "pci.0", "isa.0", "16", "1X", true, false }

local function argument(objects)
    local kind = random(10)
    if kind <= 5 then
        return scalars[random(#scalars)]
    elseif kind <= 8 then
        return objects[random(#objects)][2]
    elseif kind == 9 then
        return { type = "user", id = scalars[random(#scalars)], addr = "05.0", ram = objects[random(#objects)][2],
            netdev = objects[random(#objects)][2] }
    end
    return nil
end

check.case("nonsense is refused", function()
    local refused, done = 0, 0
    for _ = 1, 12 do
        local vm = perilune.machine("pc", { memory = "2M", nic = "user", serial = "ring" })
        local objects = collect(vm)
        for _ = 1, 400 do
            local kind, object = table.unpack(objects[random(#objects)])
            local names = methods[kind]
            local ok, f = pcall(function(name)
                return object[name]
            end, names[random(#names)])
            if ok and type(f) == "function" then
                ok = pcall(f, object, argument(objects), argument(objects), argument(objects))
            end
            refused = refused + (ok and 0 or 1)
            done = done + 1
        end
        vm:close()
    end
    check.equal(refused > done // 4, true, ("%d of %d refused"):format(refused, done))
    check.equal(refused < done, true, "not everything is refused")
end)

check.case("methods on the wrong object", function()
    local vm <close> = perilune.machine("pc", { memory = "2M" })
    local device, space = vm:devices()[1], vm.memory
    check.raises("address space expected", space.read, device, 0, 1)
    check.raises("vm expected", vm.devices, 5)
    check.raises("device expected", device.reset, vm)
end)

check.finish()
