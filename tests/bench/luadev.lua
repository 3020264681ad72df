-- What an access to a Lua device costs beside one to a device in C: `perilune luadev.lua` prints, for
-- loads by a program on the software cpu, nanoseconds each and the ratio to the C device.
local LOADS <const> = 1000000
local BASE <const> = 0x10000000

local lua_types = {
    ["plain register in Lua"] = device.define {
        name = "bench-plain",
        mmio = { name = "bench-plain", size = 0x1000 },
        registers = { { name = "A", offset = 0, reset = 0 } },
    },
    ["register with a function"] = device.define {
        name = "bench-register",
        mmio = { name = "bench-register", size = 0x1000 },
        registers = { { name = "A", offset = 0, read = function() return 0 end } },
    },
    ["window with a function"] = device.define {
        name = "bench-window",
        mmio = { name = "bench-window", size = 0x1000, sizes = { 4, 4 }, read = function() return 0 end },
    },
}

--- Seconds for LOADS loads from `addr` of a machine with the device that `add` makes; protected mode.
local function measure(add, addr)
    local def = machine.define {
        name = "bench",
        build = function(m, p)
            m.memory:map(0, m:ram("ram", p.memory))
            local isa = m:device("isabus-bridge").bus["isa.0"]
            isa:device("isa-debug-exit", { iobase = 0xf4 })
            add(m)
        end,
    }
    local vm = perilune.machine(def, { memory = "1M", serial = "none", idle = "warp" })
    vm:on_reset(function()
        local cpu = vm.cpus[1]
        vm.memory:write_bytes(0x7000, string.pack("<I8I8I8I2I4", 0, 0x00cf9b000000ffff,
            0x00cf93000000ffff, 23, 0x7000))
        -- lgdt [0x7018]; set CR0.PE; load ds; jmp 8:0x8000
        vm.memory:write_bytes(0x1000, "\x0f\x01\x16\x18\x70\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"
            .. "\xb8\x10\x00\x8e\xd8\x66\xea\x00\x80\x00\x00\x08\x00")
        -- mov ecx, LOADS; next: mov eax, [addr]; dec ecx; jnz next; mov al, 0; out 0xf4, al
        vm.memory:write_bytes(0x8000, "\xb9" .. string.pack("<I4", LOADS) .. "\xa1"
            .. string.pack("<I4", addr) .. "\x49\x75\xf8\xb0\x00\xe6\xf4\xeb\xfe")
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    local start = os.clock()
    vm:run()
    local ns = (os.clock() - start) * 1e9
    assert(vm.exit_reason == "debug-exit" and vm.instructions > 3 * LOADS)
    vm:close()
    return ns
end

local loop = measure(function() end, 0x9000) -- the same from RAM
local c = measure(function(m)
    m:device("ioapic"):map(0, BASE)
end, BASE) - loop
print(("%-26s %8.1f ns"):format("device in C (ioapic)", c / LOADS))
for _, name in ipairs { "plain register in Lua", "register with a function", "window with a function" } do
    local ns = measure(function(m)
        m:device(lua_types[name], { addr = BASE })
    end, BASE) - loop
    print(("%-26s %8.1f ns  %5.2f of the device in C, %+.1f ns"):format(name, ns / LOADS, ns / c,
        (ns - c) / LOADS))
end
