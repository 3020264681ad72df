--- Small programs that show whether a backend runs guest code here: perilune --doctor runs them.
--
-- Each is entered in real mode at 0x1000, and writes 16 to port 0xf4 when all was as it should be,
-- else 1. The code is what the GNU assembler makes of what the comment says.
local core = require "perilune.core"
local machine = require "perilune.machine"
local uv = require "luv"

local M = {}

--- How long a program may take, ms. They take microseconds, but the host may be busy.
local PATIENCE_MS = 4000
local TIME_IS_UP = "still running after 4 s"

local GOOD = 16 << 1 | 1 -- exit status by isa-debug-exit

local programs = {
    -- add, adc's flags, mul and div of 1000 by itself, a loop that sums 10 to 1
    { name = "integer", code = "b83412bb0f0f01d83d43217535b8ffff83c001732d752bb8e803b9e803f7e183fa0f75"
        .. "1e3d40427519f7f13de8037512b90a0031c001c8e2fc83f8377504b010eb02b001e6f4f4" },
    -- rep stosw, rep movsb, repe cmpsb
    { name = "strings", code = "fcbf0040b90001b8a55af3abbe0040bf0050b90002f3a4be0040bf0050b90002f3a675"
        .. "1085c9750c813efe51a55a7504b010eb02b001e6f4f4" },
    -- int 0x20 and a division by zero, through the table at 0
    { name = "interrupts", code = "bc0070c70680003410c70682000000c70600003610c7060200000031dbcd2083fb01"
        .. "752131d231c9b80100f7f183fb037513eb0d43cf83c30289e5c746002d10cfb010eb02b001e6f4f4" },
    -- lgdt, 32-bit code, a store above 64 KiB, and back to real mode
    { name = "protected mode", code = "0f011688100f20c00c010f22c0ea1210080066b810008ed8c705008001007856"
        .. "3412a1008001003d78563412bb000000000f94c366b820008ed8ea4110000018000f20c024fe0f22c0ea4e100000"
        .. "31c08ed880fb01753beb358db400008d74000000000000000000ffff0000009bcf00ffff00000093cf00ffff0000"
        .. "009b0000ffff000000930000270060100000b010eb02b001e6f4f4" },
    -- page tables at 0x10000 that show a page twice; 64-bit code, r8 to r10
    { name = "64-bit mode", code = "66bf000001000f22df66c1ef048ec731ff6631c0b9000cfc66f3ab2666c7060000031"
        .. "001002666c7060010032001002666c7060020830000002666c70608208300000066b8200000000f22e066b980000"
        .. "0c00f320d00010f300f0116c01066b8010000800f22c0ea6c10080049b8efcdab89674523014c890425008001004"
        .. "c8b0c25008021004d31c1b010b1014d85c90f45c149ba00000000010000004d0fafd24d85d20f45c1e6f4f48db40"
        .. "00066900000000000000000ffff0000009baf000f00b0100000b010eb02b001e6f4f4" },
    -- CR4.OSFXSR; paddd, cvtdq2pd, mulpd, cvttsd2si
    { name = "SSE2", code = "0f20e00d00060f22e066b807000000660f6ec0660f70c000660ffec0f30fe6c8660f59c9f2"
        .. "0f2cc1663dc40000007504b010eb02b001e6f4f4" },
    -- rdtsc, a thousand rounds, rdtsc: later
    { name = "time stamp counter", code = "0f316689c3b9e803e2fe0f316629d874067804b010eb02b001e6f4f4" },
}

local function bytes(hex)
    return (hex:gsub("%x%x", function(pair)
        return string.char(tonumber(pair, 16))
    end))
end

local board = machine.define {
    name = "selftest",
    desc = "RAM and a way out",
    props = { memory = { "size", "4M", help = "RAM from address 0" } },
    build = function(m, p)
        m.memory:map(0, m:ram("ram", p.memory))
        m:device("isabus-bridge").bus["isa.0"]:device("isa-debug-exit", { iobase = 0xf4 })
    end,
}

local function run(vm, code)
    local cpu = vm.cpus[1]
    vm.machine.memory:write_bytes(0x1000, bytes(code))
    cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    local timer = uv.new_timer()
    timer:start(PATIENCE_MS, 0, function()
        vm:stop(TIME_IS_UP, 0)
    end)
    local ok, problem = pcall(vm.run, vm)
    timer:close()
    if not ok then
        return tostring(problem):match("^[^\n]*")
    elseif vm.exit_status == GOOD then
        return nil
    elseif vm.exit_reason == "debug-exit" then
        return "a wrong result"
    end
    return vm.exit_reason ~= "" and vm.exit_reason or vm.pause_reason
end

--- Run the programs on a backend, up to the first that hangs: { { name =, problem = nil or text,
-- ns = }, ... }. Raises when no machine can be made.
function M.run(accel)
    local results = {}
    for i, program in ipairs(programs) do
        local started = core.realtime_ns()
        local vm <close> = machine.create(board, { accel = accel, serial = "none", reboot = false })
        local problem = run(vm, program.code)
        results[i] = { name = program.name, problem = problem, ns = core.realtime_ns() - started }
        if problem == TIME_IS_UP then
            break
        end
    end
    return results
end

return M
