-- What the making of a machine is made of: `perilune start.lua MACHINE KERNEL [INITRD]` prints a
-- line "stage milliseconds" for each stage; those marked with + are parts of the one before.
local core = require "perilune.core"
local acpi = require "perilune.boot.acpi"
local firmware = require "perilune.boot.pc"

local name, kernel, initrd = arg[1], arg[2], arg[3]
local spent = { post = 0, acpi = 0 }

--- Replace owner[key] by itself with a clock. Definitions take their post step when they are
--- loaded: before that.
local function clocked(owner, key, stage)
    local inner = owner[key]
    owner[key] = function(...)
        local start = core.realtime_ns()
        local result = inner(...)
        spent[stage] = spent[stage] + core.realtime_ns() - start
        return result
    end
end

clocked(acpi, "build", "acpi")
clocked(firmware, "post", "post")

local function say(stage, ns)
    print(("%s %.3f"):format(stage, ns / 1e6))
end

local start = core.realtime_ns()
local vm = machine.create(name,
    { memory = "512M", serial = { "null" }, kernel = kernel, initrd = initrd })
local made = core.realtime_ns()
local post, tables, payload = spent.post, spent.acpi, vm.boot and vm.boot.payload_ns or 0
vm:reset()
local reset = core.realtime_ns() - made
local reset_payload = vm.boot and vm.boot.payload_ns or 0

say("create", made - start - payload)
say("+post", post)
say("+acpi", tables)
say("reset", reset - reset_payload)
say("payload", payload)
vm:close()
