-- Symbols, disassembly and backtraces on Debian's kernel, which brings neither symbol table nor System.map.
local check = require "check"

local equal, raises = check.equal, check.raises
local cache = os.getenv("PERILUNE_CACHE")
    or (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or "") .. "/.cache") .. "/perilune"
local kernel = cache .. "/vmlinuz"

local file = io.open(kernel, "rb")
if not file then
    print("SKIPPED: there is no " .. kernel .. "; scripts/fetch-guest fetches it")
    os.exit(0)
end
file:close()

check.case("names, hooks by name, disassembly, backtraces", function()
    local vm = perilune.machine("pc", { kernel = kernel, memory = "256M", idle = "warp",
        append = "console=ttyS0 panic=-1", reboot = false })
    local start = vm:symbol("start_kernel")
    equal(start < 0, true, "an address in the upper half")
    equal(vm:symbol("start_kernel+0x10"), start + 16)
    equal(vm:symbolize(start + 5):match("^start_kernel%+0x5/"), "start_kernel+0x5/")
    raises('nearest known is "do_sys_openat2"', vm.symbol, vm, "do_sys_openat3")
    raises('nearest known is "start_kernel"', vm.on, vm, "exec", { at = "start_kernal" },
        function() end)
    equal(vm:symbol_names("do_sys_openat")[1], "do_sys_openat2")

    -- Unpacked by the host it is placed from the beginning: hooks wait for nothing.
    local first = vm:on("exec", { at = "x86_64_start_kernel" }, function() end)
    equal(first.pending, false)
    local seen
    local h = vm:on("exec", { at = "setup_arch" }, function(cpu)
        local frames, why = cpu:backtrace()
        seen = { frames = frames, why = why, code = cpu:disas(nil, 3) }
        return "stop"
    end)
    vm:run()
    equal(vm.state, "paused")
    equal(h.hits, 1)
    equal(h.errors, 0)
    equal(vm.cpus[1].rip, vm:symbol("setup_arch"))
    equal(seen.frames[1].name:match("^[%w_]+"), "setup_arch")
    equal(seen.frames[2].name:match("^[%w_]+"), "start_kernel")
    equal(seen.frames[2].method, "orc")
    equal(#seen.code, 3)
    equal(seen.code[1].addr, vm:symbol("setup_arch"))
    equal(seen.code[2].addr, seen.code[1].addr + #seen.code[1].bytes)
    equal(vm:find_slide(), 0)
    equal(first.hits, 1)
    equal(vm.symbols.slide, 0)
    -- Branch targets and what is relative to RIP.
    local calls, relative = 0, 0
    for _, insn in ipairs(vm.cpus[1]:disas("start_kernel", 200)) do
        calls = calls + (insn.text:match("^call 0x%x+ <[%w_]+>$") and 1 or 0)
        relative = relative + (insn.text:match("%[0x%x+ <[%w_+/]+>%]") and 1 or 0)
    end
    equal(calls > 20, true, calls .. " named calls")
    equal(relative > 5, true, relative .. " named addresses")
    rawset(_G, "vm", vm)
    local shown = require("perilune.monitor").execute("x /200i start_kernel")
    rawset(_G, "vm", nil)
    equal(shown:match("%x+: (call 0x%x+ <setup_arch>)") ~= nil, true, "in the monitor")
    vm:close()
end)

check.case("guests run on while a kernel's names are read", function()
    local uv = require "luv"
    for _, prepared in ipairs { false, true } do
        local vm = perilune.machine("pc", { kernel = kernel, memory = "256M", idle = "warp", serial = "null" })
        vm:on_reset(function()
            vm.memory:write_bytes(0x1000, "\xeb\xfe")
            local cpu = vm.cpus[1]
            cpu.cr0, cpu.efer, cpu.cs, cpu.cs_base, cpu.rip = 0x10, 0, 0, 0, 0x1000
        end)
        vm:reset()
        if prepared then
            vm.symbols:prepare()
            vm.symbols:prepare() -- is being read already
        end
        equal(vm.symbols.count, 0, "somebody must ask")
        vm:resume()
        local before, name, after = vm.instructions, nil, nil
        local timer <const> = uv.new_timer()
        timer:start(0, 0, function() -- as a client of the monitor does
            timer:close()
            name = vm:symbolize(vm:symbol("start_kernel"))
            after = vm.instructions
        end)
        perilune.wait(function()
            return name
        end)
        equal(name, "start_kernel")
        equal(after > before + 5 * 10 ^ 6, true, "it has run: " .. after - before)
        vm:close()
    end
    local vm = perilune.machine("pc", { kernel = kernel, memory = "256M", serial = "null" })
    vm.symbols:prepare() -- closing does not wait until it is done
    vm:close()
end)

check.case("a program without symbols says so", function()
    local vm = perilune.machine("minimal", {})
    raises("no symbols are loaded", vm.symbol, vm, "main")
    equal(vm:symbolize(0x1234), "0x1234")
    vm.memory:write_bytes(0x100, "\x90\xcd\x80\xc3")
    local cpu = vm.cpus[1]
    cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x100
    local code = cpu:disas(nil, 3)
    equal(code[1].text .. ";" .. code[2].text .. ";" .. code[3].text, "nop;int 0x80;ret")
    raises("/nonexistent", vm.load_symbols, vm, "/nonexistent")
    vm:close()
end)

check.finish()
