-- Faults: each target with each effect, by what the guest or the device sees of it. The last case
-- checks that none was left out.
local bare = require "bare"
local check = require "check"
local fault = require "perilune.fault"

local case, equal = check.case, check.equal
local program, counting, EXIT = bare.program, bare.counting, bare.EXIT
local INC, AFTER_LOOP = bare.INC, 0x100a

local done = {} -- "target effect" → true

local function inject(vm, spec)
    done[spec.target .. " " .. spec.effect] = true
    return fault.inject(vm, spec)
end

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

--- The number of bits that are set.
local function ones(n)
    local count = 0
    while n ~= 0 do
        count, n = count + (n & 1), n >> 1
    end
    return count
end

-- ---- memory ----

--- What the counting program leaves at 0x2000 with this fault. It is 10 without.
local function counted(spec)
    local vm = program(counting)
    spec.target = "ram"
    if not (spec.gpa or spec.gva) then
        spec.gpa = 0x2000
    end
    spec.size = spec.size or 2
    local f = inject(vm, spec)
    run(vm)
    local value = vm.memory:read(0x2000, 2)
    vm:close()
    return value, f:history()
end

case("memory: values", function()
    equal(counted { effect = "flip", bit = 4, trigger = { exec = AFTER_LOOP } }, 26)
    equal(counted { effect = "flip", bits = { 0, 15 }, trigger = { exec = AFTER_LOOP } }, 0x800b)
    equal(counted { effect = "flip", mask = 0x101, trigger = { exec = AFTER_LOOP } }, 0x10b)
    equal(counted { effect = "flip", bit = 4, trigger = { exec = INC, nth = 10 } }, 10) -- written over
    equal(counted { effect = "set", value = 0x1234, trigger = { exec = AFTER_LOOP } }, 0x1234)
    equal(counted { effect = "set", value = "\7", at = 1, trigger = { exec = AFTER_LOOP } }, 0x070a)
    equal(counted { effect = "xor", value = 0xff, trigger = { exec = AFTER_LOOP } }, 0xf5)
    local v, history = counted { effect = "flip", count = 3, trigger = { exec = AFTER_LOOP } }
    equal(ones(v ~ 10), 3)
    equal(#history, 1)
    equal(history[1].before, 10)
    equal(history[1].after, v)
    v = counted { effect = "corrupt", trigger = { exec = AFTER_LOOP } }
    equal((v & 0xff == 10) ~= (v >> 8 == 0), true)
    v = counted { effect = "random", mask = 0xff0, trigger = { exec = AFTER_LOOP } }
    equal(v & 0xf00f, 0x000a)
    equal(v ~= 10, true)
    equal(counted { effect = "random", mask = 0xff0, trigger = { exec = AFTER_LOOP } }, v)
end)

case("memory that is stuck holds against the guest's writes", function()
    local v, history = counted { effect = "stuck-at-0", bit = 1 }
    equal(v, 8)
    equal(#history, 1 + 5) -- begin; the values 2, 3, 6, 7, 10
    equal(history[2].before .. ">" .. history[2].after, "2>0")
    equal(counted { effect = "stuck-at-1", bits = { 0, 8 } }, 0x10b)
    equal(counted { effect = "stuck-at-1", gpa = 0x2001, size = 1 }, 0xff0a)
    equal(counted { effect = "stuck-at-0", bit = 1, duration = { time = 20 } }, 10)
    local vm = program(counting)
    local f = inject(vm, { target = "ram", gpa = 0x2000, size = 2, effect = "stuck-at-1", bit = 0 })
    vm:on("exec", { at = INC }, function()
        vm.memory:write(0x2000, 2, 0)
    end)
    run(vm)
    equal(vm.memory:read(0x2000, 2) & 1, 1)
    f:release()
    vm.memory:write(0x2000, 2, 4)
    equal(vm.memory:read(0x2000, 2), 4)
    vm:close()
end)

case("memory by linear address, over a boundary of pages; ROM; several bytes", function()
    equal(counted { effect = "set", gva = 0x2000, value = 5, trigger = { exec = AFTER_LOOP } }, 5)
    equal(counted { effect = "stuck-at-0", gva = 0x1fff, size = 3, mask = "\0\2\0" }, 8)
    local vm = program(counting)
    inject(vm, { target = "ram", effect = "set", gva = 0x2ffe, size = 4, value = "abcd" })
    equal(vm.memory:read_bytes(0x2ffe, 4), "abcd")
    vm.machine.memory:map(0x8000000, vm.machine:rom("rom", 4096))
    inject(vm, { target = "ram", effect = "set", gpa = 0x8000000, value = 3 })
    equal(vm.memory:read(0x8000000, 1), 3)
    local f = inject(vm, { target = "ram", effect = "xor", gpa = 0x4000, size = 16, value = "\1\2" })
    equal(f:history()[1].after, "0102" .. ("00"):rep(14))
    vm:close()
end)

case("memory somewhere in a range, each time elsewhere", function()
    local vm = program(counting)
    local f = inject(vm, { target = "ram", effect = "flip", gpa = 0x100000, range = "32M", size = 4,
        trigger = { period = 4 } })
    run(vm)
    local seen = {}
    for _, e in ipairs(f:history()) do
        equal(e.address >= 0x100000 and e.address < 0x2100000 and e.address % 4 == 0, true)
        equal(vm.memory:read(e.address, 4), e.after)
        equal(ones(e.after), 1)
        equal(seen[e.address], nil)
        seen[e.address] = true
    end
    equal(f.hits, 10)
    vm:close()
end)

case("memory by symbol", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("0000000000001000 T start\n0000000000002000 D counter\n")
    file:close()
    local vm = program(counting)
    vm:load_symbols(path)
    os.remove(path)
    local f = inject(vm, { target = "ram", effect = "set", symbol = "counter", size = 2, value = 0x77,
        trigger = { exec = "start+0xa" } })
    local g = inject(vm, { target = "reg", effect = "xor", reg = "rbx", value = 1,
        trigger = { access = "counter", nth = 2 } })
    run(vm)
    equal(vm.memory:read(0x2000, 2), 0x77)
    equal(f:history()[1].insn, 41)
    equal(g:history()[1].insn, 6)
    vm:close()
end)

case("memory that is not mapped is recorded", function()
    -- mov eax, cr0 would go on; paging with an empty table of pages is enough for translate()
    local vm = program(counting)
    vm.cpus[1].cr3, vm.cpus[1].cr0 = 0x7000, 0x80000011
    local f = inject(vm, { target = "ram", effect = "flip", gva = 0x2000 })
    equal(f:history()[1].problem, "0x2000 is not mapped")
    equal(f.hits, 0)
    vm:close()
end)

-- ---- registers ----

--- What the counting program leaves at 0x2000, and its cpu, with this fault.
local function registers(spec)
    local vm = program(counting)
    spec.target = "reg"
    local f = inject(vm, spec)
    run(vm)
    return vm.memory:read(0x2000, 2), vm.cpus[1], f
end

case("registers: values", function()
    local last = { exec = INC, nth = 10 }
    equal(registers { reg = "rax", effect = "flip", bit = 5, trigger = last }, 42)
    equal(registers { reg = "rax", effect = "set", value = 0x99, trigger = last }, 0x9a)
    equal(registers { reg = "rax", effect = "xor", value = 0x40, trigger = last }, 9 + 0x40 + 1)
    local v = registers { reg = "rax", effect = "random", mask = 0xf00, trigger = last }
    equal(v & 0xff, 10)
    equal(registers { reg = "rax", effect = "random", mask = 0xf00, trigger = last, seed = 1 }, v)
    local _, cpu, f = registers { reg = "rsi", effect = "corrupt", trigger = last }
    equal(cpu.rsi ~= 0, true)
    equal(f:history()[1].after, cpu.rsi)
end)

case("registers that are stuck", function()
    equal(registers { reg = "rax", effect = "stuck-at-0", bit = 0 }, 0)
    local v, _, f = registers { reg = "rax", effect = "stuck-at-1", bit = 4 }
    equal(v, 16 + 10)
    equal(f:history()[1].event, "begin")
    -- every 8 instructions, so every second round
    v = registers { reg = "rax", effect = "stuck-at-1", bit = 4, step = 8,
        duration = { time = "1us" } }
    equal(v, 26)
end)

case("registers of all kinds", function()
    local _, _, f = registers { reg = "rip", effect = "set", value = AFTER_LOOP,
        trigger = { exec = INC, nth = 4 } }
    equal(f.vm.memory:read(0x2000, 2), 3)
    _, _, f = registers { reg = "rip", effect = "set", value = AFTER_LOOP, trigger = { insn = 14 } }
    equal(f.vm.memory:read(0x2000, 2), 3)
    local v = registers { reg = "ds_base", effect = "set", value = 0x3000 }
    equal(v, 0)
    for _, reg in ipairs { "rflags", "cr2", "fs", "gs_base", "gdt_limit", "cr0" } do
        local _, cpu, one = registers { reg = reg, effect = "flip", bit = 2,
            trigger = { exec = AFTER_LOOP } }
        local e = one:history()[1]
        equal(e.before ~ e.after, 4, reg)
        equal(cpu[reg] & 4, e.after & 4, reg)
    end
end)

case("SSE and x87 registers", function()
    -- 1000: fninit; fld1; fstp qword [0x2008]; movd [0x2000], xmm0
    local vm = program("\xdb\xe3\xd9\xe8\xdd\x1e\x08\x20\x66\x0f\x7e\x06\x00\x20" .. EXIT)
    vm.cpus[1].cr4 = 0x200
    local x = inject(vm, { target = "reg", reg = "xmm0", effect = "xor", value = "\1\2\3\4" })
    inject(vm, { target = "reg", reg = "st0", effect = "flip", bit = 79, trigger = { insn = 2 } })
    inject(vm, { target = "reg", reg = "mxcsr", effect = "flip", bit = 6, trigger = { insn = 1 } })
    run(vm)
    equal(vm.memory:read(0x2000, 4), 0x04030201)
    equal(string.unpack("<d", vm.memory:read_bytes(0x2008, 8)), -1.0)
    equal(x:history()[1].after, "01020304" .. ("00"):rep(12))
    equal(vm.cpus[1].mxcsr, 0x1fc0)
    local cpu = vm.cpus[1]
    check.raises("as many bytes as it has", function()
        cpu.xmm3 = "short"
    end)
    vm:close()
end)

case("YMM registers, where there are any", function()
    local vm = program(EXIT, { cpu = "max" })
    local cpu = vm.cpus[1]
    equal(cpu.ymm3, ("\0"):rep(32))
    cpu.ymm3 = ("a"):rep(16) .. ("b"):rep(16)
    equal(cpu.ymm3, ("a"):rep(16) .. ("b"):rep(16))
    equal(cpu.xmm3, ("a"):rep(16))
    cpu.xmm3 = ("c"):rep(16)
    equal(cpu.ymm3, ("c"):rep(16) .. ("b"):rep(16))
    equal(cpu.ymm4, ("\0"):rep(32))
    run(vm)
    vm:close()
    vm = program(EXIT)
    check.raises("has no YMM registers", function()
        return vm.cpus[1].ymm3
    end)
    check.raises("has no YMM registers", function()
        vm.cpus[1].ymm3 = ("a"):rep(32)
    end)
    vm:close()
end)

-- ---- ports ----

--- Serial output of a program that writes "abcd", with this fault.
local function written(spec)
    local code = { "\xba\xf8\x03" }
    for c in ("abcd"):gmatch(".") do
        code[#code + 1] = "\xb0" .. c .. "\xee"
    end
    local vm = program(table.concat(code) .. ("\x90"):rep(50) .. EXIT)
    local out = {}
    vm:chardevs()[1]:on_output(function(text)
        out[#out + 1] = text
    end)
    spec.target, spec.port = "pio", 0x3f8
    local f = inject(vm, spec)
    run(vm)
    vm:close()
    return table.concat(out), f
end

case("ports that are written", function()
    equal(written { effect = "flip", bit = 0 }, "`bcd")
    equal(written { effect = "flip", bit = 0, trigger = { nth = 3 } }, "abbd")
    equal(written { effect = "stuck-at-1", bit = 1 }, "cbcf")
    equal(written { effect = "stuck-at-0", bit = 1, trigger = { nth = 3 } }, "abad")
    equal(written { effect = "set", value = 0x21, duration = { times = 2 } }, "!!cd")
    equal(written { effect = "xor", value = 0x20, duration = "released" }, "ABCD")
    equal(written { effect = "xor", value = 0x20, trigger = { every = 2 } }, "aBcD")
    local text, f = written { effect = "random", trigger = { nth = 2 }, dir = "write" }
    equal(text:sub(1, 1) .. text:sub(3), "acd")
    equal(text:byte(2), f:history()[1].after)
    text = written { effect = "corrupt", trigger = { nth = 4 } }
    equal(text:sub(1, 3) == "abc" and text ~= "abcd", true)
end)

case("ports: what happens to writes", function()
    local text, f = written { effect = "drop", trigger = { nth = 2 } }
    equal(text, "acd")
    local e = f:history()[1]
    equal(("%x %d %s %c %s"):format(e.address, e.size, e.dir, e.before, e.dropped), "3f8 1 write b true")
    equal(written { effect = "error", dir = "write", duration = { times = 2 } }, "cd")
    equal(written { effect = "duplicate", trigger = { nth = 3 } }, "abccd")
    equal(written { effect = "duplicate", count = 2 }, "aaabcd")
    equal(written { effect = "delay", time = 3 }, "bacd")
    equal(written { effect = "delay", time = "20ns" }, "bcda")
    equal(written { effect = "reorder" }, "bacd")
    equal(written { effect = "reorder", duration = { times = 2 } }, "badc")
    equal(written { effect = "reorder", trigger = { nth = 4 }, within = 5 }, "abcd")
    equal(written { effect = "spurious", value = 0x2a, trigger = { insn = 5 } }, "ab*cd")
    equal(written { effect = "drop", trigger = { probability = 1 }, duration = { time = 4 } }, "cd")
end)

case("a write that waits comes to pass at the release", function()
    local vm = program("\xba\xf8\x03\xb0a\xee" .. EXIT)
    local out = {}
    vm:chardevs()[1]:on_output(function(text)
        out[#out + 1] = text
    end)
    local hooks = #vm:hooks()
    local f = inject(vm, { target = "pio", port = 0x3f8, effect = "reorder" })
    run(vm)
    equal(#out, 0)
    f:release()
    equal(table.concat(out), "a")
    equal(#vm:hooks(), hooks + 1) -- that of the log
    vm:close()
end)

case("ports that are read", function()
    local function read(spec)
        local vm = program("\xba\xfd\x03\xec\xa2\x00\x20" .. EXIT) -- in al, 0x3fd; mov [0x2000], al
        spec.target, spec.port, spec.dir = "pio", 0x3fd, "read"
        local f = inject(vm, spec)
        run(vm)
        local v = vm.memory:read(0x2000, 1)
        vm:close()
        return v, f:history()[1]
    end
    local v, e = read { effect = "flip", bit = 0 }
    equal(v, 0x61)
    equal(e.before .. e.dir, 0x60 .. "read")
    equal(read { effect = "set", value = 0 }, 0)
    equal(read { effect = "drop" }, 0xff)
    equal(read { effect = "error" }, 0xff)
end)

-- ---- device memory ----

--- A device that logs at 0x9000, written 1, 2, 3 and read at 0x9004; what it was written, and what
-- was read.
local function device_memory(spec)
    local log = {}
    local definition = _G.device.define { name = "logger", mmio = { name = "logger", size = 16,
        sizes = { 1, 4 }, read = function()
            log[#log + 1] = "r"
            return 0x5a
        end, write = function(_, offset, value)
            log[#log + 1] = ("%x=%x"):format(offset, value)
        end } }
    local code = { "\xb0\x01\xa2\x00\x90", "\xb0\x02\xa2\x00\x90", "\xb0\x03\xa2\x00\x90",
        ("\x90"):rep(20), "\xa0\x04\x90\xa2\x00\x20" }
    local vm = program(table.concat(code) .. EXIT)
    vm.machine:device(definition, { addr = 0x9000, id = "log" })
    spec.target = "mmio"
    if not (spec.gpa or spec.device or spec.region) then
        spec.gpa, spec.size = 0x9000, spec.size or 16
    end
    local f = inject(vm, spec)
    run(vm)
    local v = vm.memory:read(0x2000, 1)
    vm:close()
    return table.concat(log, " ") .. ("/%x"):format(v), f
end

case("device memory: values", function()
    equal(device_memory { effect = "flip", bit = 7 }, "0=81 0=2 0=3 r/5a")
    equal(device_memory { effect = "flip", bit = 7, dir = "read" }, "0=1 0=2 0=3 r/da")
    equal(device_memory { effect = "stuck-at-1", bit = 7 }, "0=81 0=82 0=83 r/da")
    equal(device_memory { effect = "stuck-at-0", bit = 1, gpa = 0x9004 }, "0=1 0=2 0=3 r/58")
    equal(device_memory { effect = "set", value = 0, dir = "write", device = "log" },
        "0=0 0=2 0=3 r/5a")
    equal(device_memory { effect = "xor", value = 0x10, region = "logger", offset = 4, size = 4 },
        "0=1 0=2 0=3 r/4a")
    local seen, f = device_memory { effect = "random", trigger = { nth = 4 } }
    equal(seen, ("0=1 0=2 0=3 r/%x"):format(f:history()[1].after))
    seen = device_memory { effect = "corrupt" }
    equal(seen:match("^0=(%x+)") ~= "1", true)
    equal(seen:match(" .*"), " 0=2 0=3 r/5a")
end)

case("device memory: what happens", function()
    equal(device_memory { effect = "drop", trigger = { nth = 2 } }, "0=1 0=3 r/5a")
    equal(device_memory { effect = "drop", dir = "read" }, "0=1 0=2 0=3/ff") -- it is not asked
    equal(device_memory { effect = "error", duration = "released" }, "/ff")
    equal(device_memory { effect = "duplicate" }, "0=1 0=1 0=2 0=3 r/5a")
    equal(device_memory { effect = "delay", time = 5 }, "0=2 0=3 0=1 r/5a")
    equal(device_memory { effect = "reorder" }, "0=2 0=1 0=3 r/5a")
    equal(device_memory { effect = "spurious", gpa = 0x9008, size = 4, value = 0x77,
        trigger = { insn = 3 } }, "0=1 8=77 0=2 0=3 r/5a")
end)

-- ---- MSRs ----

case("MSRs", function()
    --- rdmsr, wrmsr 0x99, rdmsr of MSR 0x174; the values read.
    local function msr(spec)
        local vm = program("\x66\xb9\x74\x01\x00\x00\x0f\x32\x66\xa3\x04\x20" ..
            "\x66\xb8\x99\x00\x00\x00\x66\x31\xd2\x0f\x30\x0f\x32\x66\xa3\x08\x20" .. EXIT)
        spec.target, spec.index = "msr", 0x174
        inject(vm, spec)
        run(vm)
        local text = ("%x %x"):format(vm.memory:read(0x2004, 4), vm.memory:read(0x2008, 4))
        vm:close()
        return text
    end
    equal(msr { effect = "flip", bit = 0 }, "1 99")
    equal(msr { effect = "flip", bit = 1, dir = "write" }, "0 9b")
    equal(msr { effect = "stuck-at-1", bit = 1, dir = "read" }, "2 9b")
    equal(msr { effect = "stuck-at-0", bit = 0 }, "0 98")
    equal(msr { effect = "set", value = 5, trigger = { nth = 3 } }, "0 5")
    equal(msr { effect = "xor", value = 3, duration = { times = 2 } }, "3 9a")
    equal(msr { effect = "drop", dir = "write" }, "0 0")
    equal(msr { effect = "random", mask = 0xf0, dir = "write", seed = 3 }:match("^0 %x9$") ~= nil, true)
    equal(msr { effect = "corrupt", dir = "write", seed = 3 } ~= "0 99", true)
end)

-- ---- lines ----

--- What a line did that was raised and lowered twice, 10 ns apart each, with this fault.
local function line_of(spec)
    local vm = perilune.machine("minimal", { cpus = 0 })
    local line = vm.machine:line()
    spec.target, spec.line = "irq", line
    local f = inject(vm, spec)
    local levels = {}
    for n = 1, 4 do
        line:set(n % 2 == 1)
        vm:advance(10)
        levels[n] = line.level and 1 or 0
    end
    f:release()
    return table.concat(levels) .. " " .. line.rises .. " " .. line.falls, vm, f
end

case("lines", function()
    equal(line_of { effect = "drop", trigger = { nth = 3 } }, "1000 1 1")
    equal(line_of { effect = "drop", trigger = { nth = 2 } }, "1110 1 1")
    equal(line_of { effect = "delay", time = 15 }, "0110 1 1")
    equal(line_of { effect = "delay", time = 5 }, "1010 2 2")
    equal(line_of { effect = "duplicate" }, "1010 3 3")
    equal(line_of { effect = "stuck-at-0" }, "0000 0 0")
    equal(line_of { effect = "stuck-at-1" }, "1111 1 1")
    equal(line_of { effect = "stuck-at-1", trigger = { nth = 2 } }, "1111 1 1")
    equal(line_of { effect = "flip", trigger = { time = 5 } }, "0010 2 2")
    equal(line_of { effect = "set", value = 1, trigger = { time = 15 } }, "1110 2 2")
    equal(line_of { effect = "xor", value = 1, trigger = { time = 15 } }, "1110 2 2")
    equal(line_of { effect = "corrupt", trigger = { time = 15 } }, "1110 2 2")
    equal(line_of { effect = "spurious", trigger = { time = 15 } }, "1010 3 3")
    equal(line_of { effect = "spurious", time = 20, trigger = { time = 15 } }, "1110 2 2")
    local _, _, f = line_of { effect = "random", trigger = { period = "1ns" } }
    equal(f.hits, 40)
    local other = {}
    for _, e in ipairs(f:history()) do
        other[e.after] = true
    end
    equal(other[0] and other[1], true)
end)

-- ---- packets ----

--- What arrives of the frames one, two, three, four, sent 10 ns apart.
local function frames(spec)
    local vm = perilune.machine("minimal", { cpus = 0 })
    local m = vm.machine
    local left, middle, right = m:hub("left"), m:hub("middle"), m:hub("right")
    local from = left:port()
    local first = m:link(from, middle:port(), "first")
    local second = m:link(middle:port(), right:port(), "second")
    local out = {}
    vm:on("packet", { link = second }, function(bytes)
        out[#out + 1] = bytes:sub(15)
    end)
    spec.target, spec.link = "packet", "first"
    spec.from = spec.from and from.id
    local f = inject(vm, spec)
    for _, text in ipairs { "one", "two", "three", "four" } do
        first:send(from, ("\0"):rep(14) .. text)
        vm:advance(10)
    end
    vm:advance(100)
    local text = table.concat(out, " ")
    vm:close()
    return text, f
end

case("packets", function()
    local text, f = frames { effect = "drop", trigger = { nth = 2 } }
    equal(text, "one three four")
    equal(f:history()[1].size, 17)
    equal(f:history()[1].ns, 10)
    equal(frames { effect = "drop", from = true, trigger = { every = 2 } }, "one three")
    equal(frames { effect = "duplicate", trigger = { nth = 3 } }, "one two three three four")
    equal(frames { effect = "delay", time = 15 }, "two one three four")
    equal(frames { effect = "reorder" }, "two one three four")
    equal(frames { effect = "reorder", trigger = { nth = 4 }, within = 50 }, "one two three four")
    equal(frames { effect = "truncate", length = 15, duration = { times = 3 } }, "o t t four")
    text, f = frames { effect = "truncate" }
    equal(text:match(" .*"), " two three four")
    equal(#f:history()[1].after < 2 * 17, true)
    equal(frames { effect = "flip", bit = 8 * 14 + 5 }, "One two three four")
    equal(frames { effect = "set", value = "ONE", at = 14 }, "ONE two three four")
    equal(frames { effect = "xor", value = "   ", at = 14, duration = { times = 2 } },
        "ONE TWO three four")
    equal(frames { effect = "stuck-at-0", at = 14, bit = 5 }, "One Two Three Four")
    equal(frames { effect = "stuck-at-1", at = 14, mask = "\x01", trigger = { nth = 2 } },
        "one uwo uhree gour")
    text = frames { effect = "random", at = 15, mask = "\xff" }
    equal(text:match("^o.e two three four$") ~= nil and text ~= "one two three four", true, text)
    local _, broken = frames { effect = "corrupt", count = 2, trigger = { nth = 3 } }
    local e, differ = broken:history()[1], 0
    for i = 1, #e.before, 2 do
        differ = differ + (e.before:sub(i, i + 1) ~= e.after:sub(i, i + 1) and 1 or 0)
    end
    equal(differ, 2)
    equal(frames { effect = "spurious", from = true, value = ("\0"):rep(14) .. "ghost",
        trigger = { time = 15 } }, "one two ghost three four")
    equal(frames { effect = "disconnect", trigger = { time = 5 }, duration = { time = 20 } },
        "one four")
    equal(frames { effect = "disconnect", trigger = { time = 15 } }, "one two")
end)

-- ---- PCI functions ----

--- A machine with a PCI device, edu-pci, whose BAR is at 0xfe000000, and its configuration space.
local function pci_machine()
    local vm = perilune.machine("pc", { cpus = 0, memory = "16M" })
    local edu = vm.machine:device(_G.device.load "edu-pci", { addr = "1e.0", id = "edu" })
    local function config(offset, value, size)
        vm.io:write(0xcf8, 4, 0x80000000 | 0x1e << 11 | offset & 0xfc)
        local port = 0xcfc + (offset & 3)
        if value then
            vm.io:write(port, size or 4, value)
        else
            return (vm.io:read(port, size or 4))
        end
    end
    config(0x10, 0xfe000000)
    config(4, 6, 2)
    return vm, config, edu
end

case("PCI functions: disconnected", function()
    local vm, config, edu = pci_machine()
    equal(config(0), 0x11e91234)
    equal(vm.memory:read(0xfe000000, 4), 0x010000ed)
    vm.memory:write(0xfe000004, 4, 5)
    local f = inject(vm, { target = "pci", device = "edu", effect = "disconnect" })
    equal(config(0), 0xffffffff)
    equal(config(2, nil, 2), 0xffff)
    equal(vm.memory:read(0xfe000000, 4), 0xffffffff)
    vm.memory:write(0xfe000004, 4, 9)
    config(4, 0, 2)
    vm.io:write(0xcf8, 4, 0x80000000)
    equal(vm.io:read(0xcfc, 4), 0x12378086) -- the host bridge is still there
    f:release()
    equal(config(4, nil, 2), 6)
    equal(vm.memory:read(0xfe000004, 4), ~5 & 0xffffffff)
    equal(f.state .. #f:history(), "released2")
    edu:disconnect()
    f = inject(vm, { target = "pci", device = "edu", effect = "disconnect" })
    f:release()
    equal(edu.connected, false) -- as it was
    vm:close()
end)

case("PCI functions: configuration space", function()
    local function config_with(spec, offset, value)
        local vm, config = pci_machine()
        spec.target, spec.device = "pci", "edu"
        local f = inject(vm, spec)
        if value then
            config(offset, value)
        end
        f:release()
        local v = value and config(offset) or nil
        f = inject(vm, spec)
        v = v or config(offset)
        vm:close()
        return v, f:history()[1]
    end
    local v, e = config_with({ effect = "flip", bit = 0 }, 0)
    equal(v, 0x11e91235)
    equal(e.address .. e.dir .. e.size, "0read4")
    equal(config_with({ effect = "set", value = 0 }, 0), 0)
    equal(config_with({ effect = "xor", value = 0xffff }, 0), 0x11e9edcb)
    equal(config_with({ effect = "stuck-at-0", bit = 4 }, 0), 0x11e91224)
    equal(config_with({ effect = "stuck-at-1", bit = 0 }, 0), 0x11e91235)
    equal(config_with({ effect = "drop" }, 0), 0xffffffff)
    equal(config_with({ effect = "error" }, 0), 0xffffffff)
    equal(config_with({ effect = "drop", dir = "write" }, 0x3c, 7) & 0xff ~= 7, true)
    equal(config_with({ effect = "random", mask = 0xff00 }, 0) & 0xffff00ff, 0x11e90034)
    equal(config_with({ effect = "corrupt" }, 0) ~= 0x11e91234, true)
end)

-- ---- cpus ----

--- A program of NOPs whose handler of `vector` ends the run with status 3; without it, 1.
local function handled(vector, spec)
    local vm = program(("\x90"):rep(40) .. EXIT)
    vm.memory:write(vector * 4, 4, 0x1800)
    vm.memory:write_bytes(0x1800, "\xb0\x01\xe6\xf4")
    spec.target = "cpu"
    local f = inject(vm, spec)
    run(vm)
    return vm.exit_status, f, vm
end

case("cpus: exceptions, NMIs", function()
    equal(handled(6, { effect = "nmi", trigger = { insn = 500 } }), 1)
    local status, f = handled(6, { effect = "exception", vector = 6, trigger = { insn = 10 } })
    equal(status, 3)
    equal(f:history()[1].insn, 10)
    equal(f:history()[1].vector, 6)
    equal(f.vm.memory:read(0xfffa, 2), 0x100a) -- where the handler returns to
    local _, _, vm = handled(14, { effect = "exception", vector = 14, code = 2, addr = 0x1234 })
    equal(vm.cpus[1].cr2, 0x1234)
    status, f = handled(2, { effect = "nmi", trigger = { time = 10 } })
    equal(status, 3)
    equal(f.vm.memory:read(0xfffa, 2), 0x100a)
end)

case("cpus: machine checks", function()
    local function end_of(cr4)
        local vm = program(("\x90"):rep(40) .. EXIT, { reboot = false })
        vm.memory:write(18 * 4, 4, 0x1800)
        vm.memory:write_bytes(0x1800, "\xb0\x01\xe6\xf4")
        vm.cpus[1].cr4 = cr4
        inject(vm, { target = "cpu", effect = "mce", trigger = { exec = 0x1010 } })
        vm:run()
        return vm.exit_reason, vm.exit_status, vm:close()
    end
    local reason, status = end_of(0x40)
    equal(reason .. status, "debug-exit3")
    equal(end_of(0), "triple-fault") -- without CR4.MCE the cpu shuts down
end)

case("cpus: a stall", function()
    local function times(spec)
        local vm = program(("\x90"):rep(40) .. EXIT)
        local f = spec and inject(vm, spec)
        run(vm)
        return vm.instructions, vm.clock.virtual.now, f
    end
    local n, ns = times()
    local n2, ns2 = times { target = "cpu", effect = "stall", time = "1us", trigger = { insn = 20 } }
    equal(n2, n)
    equal(ns2, ns + 1000)
end)

case("cpus: a skewed clock", function()
    -- rdtsc; mov [0x2000], eax; mov cx, 1000; loop $; rdtsc; mov [0x2004], eax
    local code = "\x0f\x31\x66\xa3\x00\x20\xb9\xe8\x03\xe2\xfe\x0f\x31\x66\xa3\x04\x20" .. EXIT
    local function ticks(spec)
        local vm = program(code)
        local f = spec and inject(vm, spec)
        run(vm)
        local n = vm.memory:read(0x2004, 4) - vm.memory:read(0x2000, 4)
        vm:close()
        return n, f
    end
    local n = ticks()
    local skewed, f = ticks { target = "cpu", effect = "skew", ppm = 500000 }
    equal(skewed, n + n // 2)
    equal(f:history()[1].event, "begin")
    equal(ticks { target = "cpu", effect = "skew", ppm = -500000 }, n - n // 2)
    local part, ended = ticks { target = "cpu", effect = "skew", ppm = 1000000,
        trigger = { insn = 103 }, duration = { time = 500 } }
    equal(math.abs(part - n * (1003 + 500) // 1003) <= 4, true, part)
    equal(ended:history()[2].event, "end")
    check.raises("parts per million", fault.inject, program(code), { target = "cpu",
        effect = "skew", ppm = -1000000 })
end)

-- ---- DMA ----

--- edu-pci copies "perilune" at 0x1000 to its buffer and from there to 0x2000, with this fault.
local function copied(spec)
    local vm = pci_machine()
    vm.memory:write_bytes(0x1000, "perilune")
    vm.memory:write_bytes(0x2000, "--------")
    spec.target, spec.device = "dma", "edu"
    local f = inject(vm, spec)
    for _, copy in ipairs { { 0x1000, 0x40000, 1 }, { 0x40000, 0x2000, 3 } } do
        for i, offset in ipairs { 0x80, 0x88, 0x98 } do
            vm.memory:write(0xfe000090, 4, 8) -- DMA_COUNT
            vm.memory:write(0xfe000000 + offset, 4, copy[i])
        end
        vm:advance(10)
    end
    local text = vm.memory:read_bytes(0x2000, 8)
    f:release()
    vm:close()
    return text, f:history()[1]
end

case("DMA", function()
    local text, e = copied { effect = "flip", bit = 5 }
    equal(text, "Perilune")
    equal(("%x %d %s"):format(e.address, e.size, e.dir), "1000 8 read")
    text, e = copied { effect = "flip", bit = 13, dir = "write" }
    equal(text, "pErilune")
    equal(("%x %d %s"):format(e.address, e.size, e.dir), "2000 8 write")
    equal(copied { effect = "set", value = "ELI", at = 5, dir = "write" }, "perilELI")
    equal(copied { effect = "xor", value = "   ", duration = "released" }, "perilune")
    equal(copied { effect = "xor", value = "   ", trigger = { nth = 2 } }, "PERilune")
    equal(copied { effect = "stuck-at-0", bit = 0, dir = "read" }, "perilune")
    equal(copied { effect = "stuck-at-1", bits = { 1, 8 } }, "rerilune")
    text = copied { effect = "random", mask = "\0\xff" }
    equal(text:match("^p.rilune$") ~= nil and text ~= "perilune", true, text)
    text = copied { effect = "corrupt", dir = "write" }
    equal(#text == 8 and text ~= "perilune", true, text)
    equal(copied { effect = "drop", dir = "write" }, "--------")
    equal(copied { effect = "drop", dir = "read" }, ("\xff"):rep(8))
    equal(copied { effect = "error", trigger = { nth = 2 } }, "--------")
    local vm = pci_machine()
    check.raises("not a PCI function", fault.inject, vm, { target = "dma", device = "ioapic",
        effect = "drop" })
    vm:close()
end)

case("DMA writes that come late, twice, in another order", function()
    local vm = pci_machine()
    local function transfer(src, dst, command)
        vm.memory:write(0xfe000090, 4, 8)
        vm.memory:write(0xfe000080, 4, src)
        vm.memory:write(0xfe000088, 4, dst)
        vm.memory:write(0xfe000098, 4, command)
        vm:advance(10)
    end
    --- The device writes this to 0x2000.
    local function put(text)
        vm.memory:write_bytes(0x1000, text)
        transfer(0x1000, 0x40000, 1)
        transfer(0x40000, 0x2000, 3)
    end
    local function at_2000()
        return vm.memory:read_bytes(0x2000, 8)
    end
    put "--------"
    local f = inject(vm, { target = "dma", device = "edu", effect = "delay", time = "1ms" })
    put "delayed."
    equal(at_2000(), "--------")
    vm:advance(999980)
    equal(at_2000(), "--------")
    vm:advance(30)
    equal(at_2000(), "delayed.")
    local e = f:history()[1]
    equal(("%x %d %s %d %s"):format(e.address, e.size, e.dir, e.delay, e.dropped), "2000 8 write 1000000 true")

    inject(vm, { target = "dma", device = "edu", effect = "duplicate", time = "1us", count = 2 })
    put "doubled."
    equal(at_2000(), "doubled.")
    put "newer..."
    equal(at_2000(), "newer...")
    vm:advance(1000)
    equal(at_2000(), "doubled.")
    put "newest.."
    vm:advance(1000)
    equal(at_2000(), "doubled.", "the second copy")

    inject(vm, { target = "dma", device = "edu", effect = "reorder" })
    put "first..."
    equal(at_2000(), "doubled.")
    put "second.."
    equal(at_2000(), "first...", "the second one went first")
    inject(vm, { target = "dma", device = "edu", effect = "reorder", within = "1us" })
    put "waits..."
    equal(at_2000(), "first...")
    vm:advance(1000)
    equal(at_2000(), "waits...", "no longer than that")
    check.raises("a read cannot wait", fault.inject, vm, { target = "dma", device = "edu", dir = "read",
        effect = "delay", time = 1 })
    vm:close()
end)

-- ---- registers of devices by name ----

case("registers of devices: what they hold", function()
    local function held(spec)
        local vm, _, edu = pci_machine()
        spec.target, spec.device = "devreg", spec.device or edu
        spec.reg = spec.reg or "DMA_COUNT"
        vm.memory:write(0xfe000090, 4, 10)
        local f = inject(vm, spec)
        local now = vm.memory:read(0xfe000090, 4)
        vm.memory:write(0xfe000090, 4, 0xf0)
        local later = vm.memory:read(0xfe000090, 4)
        return now, later, f, vm
    end
    local now, later, f = held { effect = "flip", bit = 4 }
    equal(now, 26)
    equal(later, 0xf0)
    equal(f:history()[1].before .. ">" .. f:history()[1].after, "10>26")
    equal(held { effect = "set", value = 77, device = "edu" }, 77)
    equal(held { effect = "xor", value = 0xff }, 0xf5)
    equal(held { effect = "random", mask = 0xff00 } & 0xffff00ff, 10)
    equal(held { effect = "corrupt" } ~= 10, true)
    now, later, f = held { effect = "stuck-at-1", bit = 2 }
    equal(now .. " " .. later, "14 244")
    f:release()
    f.vm.memory:write(0xfe000090, 4, 3)
    equal(f.vm.memory:read(0xfe000090, 4), 3)
    now, later = held { effect = "stuck-at-0", bits = { 3, 7 } }
    equal(now .. " " .. later, "2 112")
    local _, _, _, vm = held { effect = "set", value = 0x4000, reg = "DMA_SRC[1]" }
    equal(vm.memory:read(0xfe000084, 4), 0x4000)
    local function refuse(words, reg, device)
        check.raises(words, fault.inject, vm, { target = "devreg", device = device or "edu", reg = reg,
            effect = "flip" })
    end
    refuse('did you mean "DMA_COUNT"', "DMA_CUONT")
    refuse("DMA_SRC[0]", "DMA_SRC")
    refuse("2 elements", "DMA_SRC[2]")
    refuse("declares no table", "X", "ioapic")
end)

case("registers of devices: what is read and written, wherever their window is", function()
    local vm, config = pci_machine()
    local function at(base, offset, value)
        if value then
            vm.memory:write(base + offset, 4, value)
        end
        return vm.memory:read(base + offset, 4)
    end
    local function by_name(effect, reg, more)
        local spec = { target = "mmio", device = "edu", reg = reg, effect = effect }
        for k, v in pairs(more) do
            spec[k] = v
        end
        return inject(vm, spec)
    end
    local id = by_name("flip", "ID", { bit = 0, duration = "released" })
    local count = by_name("duplicate", "DMA_SRC[1]", {})
    config(0x10, 0xfd000000)
    equal(at(0xfd000000, 0), 0x010000ec)
    equal(id:history()[1].address, 0xfd000000)
    equal(at(0xfd000000, 0x84, 7), 7)
    equal(count:history()[1].address, 0xfd000084)
    by_name("reorder", "DMA_COUNT", { duration = { times = 1 } })
    at(0xfd000000, 0x90, 1)
    equal(at(0xfd000000, 0x90, 2), 1)
    check.raises("reg goes with device", by_name, "flip", "ID", { offset = 4 })
    vm:close()
end)

case("nothing was left out", function()
    local missing = {}
    for _, row in ipairs(fault.grid()) do
        for _, effect in ipairs(row.effects) do
            if not done[row.target .. " " .. effect] then
                missing[#missing + 1] = row.target .. " " .. effect
            end
        end
    end
    equal(table.concat(missing, ", "), "")
end)

check.finish()
