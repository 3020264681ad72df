-- Faults: specs, triggers, durations, random numbers, the log, reproducibility.
-- fault_target_test.lua has each target with each effect.
local bare = require "bare"
local check = require "check"
local fault = require "perilune.fault"
local json = require "perilune.json"
local monitor = require "perilune.monitor"

local case, equal, raises = check.case, check.equal, check.raises
local program, counting = bare.program, bare.counting
local INC, STORE = bare.INC, bare.STORE

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

--- Fields of a fault's hits, as text.
local function hits(f, field)
    local out = {}
    for _, e in ipairs(f:history()) do
        out[#out + 1] = e.event == "hit" and tostring(e[field]) or nil
    end
    return table.concat(out, " ")
end

--- A harmless fault with this trigger and duration on the counting program; where it hit, by
-- instructions.
local function hit_at(trigger, duration, spec)
    local vm = program(counting)
    spec = spec or { target = "reg", reg = "rdx", effect = "xor", value = 1 }
    spec.trigger, spec.duration = trigger, duration
    local f = fault.inject(vm, spec)
    run(vm)
    local at, state = hits(f, "insn"), f.state
    vm:close()
    return at, state
end

-- ---- random numbers ----

case("the generator gives the numbers of its description", function()
    -- xoshiro256** from state 1, 2, 3, 4: the reference implementation's first numbers.
    local r = fault.random(1, 1)
    r[1], r[2], r[3], r[4] = 1, 2, 3, 4
    equal(r:next(), 11520)
    equal(r:next(), 0)
    equal(r:next(), 1509978240)
    equal(r:next(), 1215971899390074240)
end)

case("streams differ, by seed, index and name, and repeat", function()
    local function three(seed, stream)
        local r = fault.random(seed, stream)
        return ("%x %x %x"):format(r:next(), r:next(), r:next())
    end
    local seen = {}
    for seed = -1, 3 do
        for _, stream in ipairs { 1, 2, 3, "1", "a", "b" } do
            local t = three(seed, stream)
            equal(seen[t], nil, "another stream with these numbers")
            seen[t] = true
            equal(three(seed, stream), t)
        end
    end
end)

case("numbers are spread evenly", function()
    local r, counts, sum, mean = fault.random(7, 1), {}, 0, 0
    for _ = 1, 6000 do
        local n = r:below(6)
        counts[n] = (counts[n] or 0) + 1
        local u = r:unit()
        equal(u >= 0 and u < 1, true)
        sum = sum + u
        mean = mean + r:exponential()
    end
    for n = 0, 5 do
        equal(counts[n] > 850 and counts[n] < 1150, true, n .. " came " .. counts[n] .. " times")
    end
    equal(math.abs(sum / 6000 - 0.5) < 0.02, true)
    equal(math.abs(mean / 6000 - 1) < 0.05, true)
end)

-- ---- triggers ----

case("now", function()
    equal(hit_at("now"), "0")
    equal(hit_at(nil), "0")
end)

case("now while the machine runs: at the next instruction", function()
    local vm = program(counting)
    local f
    vm:on("serial", {}, function() end)
    vm:on("write", { at = 0x2000, size = 2 }, function(_, value)
        if value == 3 then
            f = fault.inject(vm, { target = "ram", gpa = 0x3000, effect = "set", value = 9 })
        end
    end)
    run(vm)
    equal(hits(f, "insn"), "10")
    equal(vm.memory:read(0x3000, 1), 9)
    vm:close()
end)

case("instructions: absolute, from now, again and again", function()
    equal(hit_at { insn = 7 }, "7")
    equal(hit_at { after = 7 }, "7")
    equal(hit_at { period = 15 }, "15 30")
    equal(hit_at({ period = 10 }, { times = 2 }), "10 20")
    equal(hit_at({ period = 10 }, "once"), "10")
end)

case("time", function()
    equal(hit_at { time = 12 }, "12")
    equal(hit_at { time = "12ns" }, "12")
    equal(hit_at { after = "9ns" }, "9")
    equal(hit_at { period = "20ns" }, "20 40")
end)

case("executions", function()
    equal(hit_at { exec = INC }, "1")
    equal(hit_at { exec = INC, nth = 3 }, "9")
    equal(hit_at({ exec = INC, nth = 3 }, { times = 2 }), "9 13")
    equal(hit_at { exec = INC, every = 4 }, "13 29")
    equal(hit_at({ exec = INC, every = 4, nth = 2 }, "released"), "5 21 37")
    equal(hit_at({ exec = { INC, STORE }, nth = 18 }, "released"), "34 37 38")
end)

case("accesses", function()
    equal(hit_at { access = 0x2000, nth = 2 }, "6")
    equal(hit_at { access = { gva = 0x2000, dir = "write", size = 2 }, nth = 2 }, "6")
    equal(hit_at { access = { gpa = { 0x2000, 0x2001 }, dir = "read" } }, "")
    equal(hit_at { access = { port = 0xf4, dir = "write" } }, "42")
end)

case("any hook", function()
    local vm = program("\x0f\x0b" .. bare.EXIT) -- ud2, whose handler ends with 1
    vm.memory:write(6 * 4, 4, 0x1800)
    vm.memory:write_bytes(0x1800, "\xb0\x01\xe6\xf4")
    local f = fault.inject(vm, { target = "reg", reg = "rdx", effect = "set", value = 5,
        trigger = { hook = { "exception", vector = 6 } } })
    run(vm)
    equal(hits(f, "after"), "5")
    equal(vm.cpus[1].rdx, 5)
    vm:close()
end)

case("a predicate", function()
    equal(hit_at({ exec = INC, when = function(cpu)
        return cpu.rax % 4 == 3
    end }, "released"), "13 29")
    local seen = {}
    equal(hit_at(function(e)
        seen[#seen + 1] = e.dir .. e.address
        return true
    end, "once", { target = "pio", port = 0xf4, effect = "set", value = 1 }), "42")
    equal(table.concat(seen), "write244")
end)

case("probability, from the seed", function()
    local function with(seed, p)
        return (hit_at({ exec = INC, probability = p }, nil, { target = "reg", reg = "rdx",
            effect = "xor", value = 1, seed = seed }))
    end
    equal(with(1, 1), "1 5 9 13 17 21 25 29 33 37")
    equal(with(1, 0), "")
    local half = with(1, 0.5)
    equal(half ~= "" and #half < #with(1, 1), true, half)
    equal(with(1, 0.5), half)
    equal(with(2, 0.5) ~= half, true)
end)

case("Poisson, from the seed", function()
    local function with(seed)
        local vm = program(counting)
        local f = fault.inject(vm, { target = "reg", reg = "rdx", effect = "xor", value = 1,
            trigger = { poisson = 2e8 }, seed = seed }) -- every 5 ns on average
        run(vm)
        vm:close()
        return #f:history(), hits(f, "ns")
    end
    local n, at = with(1)
    equal(n > 2 and n < 20, true, at)
    local _, again = with(1)
    equal(again, at)
    local _, other = with(2)
    equal(other ~= at, true)
end)

case("any, all, sequence", function()
    equal(hit_at({ any = { { insn = 7 }, { exec = INC, nth = 3 } } }, { times = 2 }), "7 9")
    equal(hit_at { all = { { insn = 7 }, { exec = INC, nth = 3 } } }, "9")
    equal(hit_at { all = { { exec = INC }, { time = 7 } } }, "7")
    equal(hit_at { sequence = { { insn = 7 }, { exec = INC } } }, "9")
    equal(hit_at { sequence = { { exec = STORE, nth = 2 }, { exec = INC, nth = 2 }, { after = 1 } } },
        "14")
    equal(hit_at { sequence = { "now", { any = { { insn = 30 }, { insn = 4 } } } } }, "4")
    equal(hit_at { any = { { exec = INC }, { exec = STORE } }, nth = 4 }, "6")
end)

-- ---- durations ----

case("once, n times, until released", function()
    local at, state = hit_at({ exec = INC }, "once")
    equal(at .. " " .. state, "1 over")
    at, state = hit_at({ exec = INC }, { times = 3 })
    equal(at .. " " .. state, "1 5 9 over")
    at, state = hit_at({ exec = INC }, "released")
    equal(at .. " " .. state, "1 5 9 13 17 21 25 29 33 37 active")
end)

case("for a virtual time", function()
    local at, state = hit_at({ exec = INC, nth = 2 }, { time = 10 })
    equal(at .. " " .. state, "5 9 13 over")
    equal(hit_at({ exec = INC }, { time = 10, times = 2 }), "1 5")
end)

case("release ends it, and takes its hooks away", function()
    local vm = program(counting)
    local before = #vm:hooks()
    local f = fault.inject(vm, { target = "reg", reg = "rdx", effect = "xor", value = 1,
        trigger = { exec = INC }, duration = "released" })
    vm:on("exec", { at = INC, skip = 3 }, function()
        f:release()
    end)
    run(vm)
    equal(f.state, "released")
    equal(f.hits, 4)
    f:release()
    equal(#vm:hooks(), before + 2) -- the log's and the one above
    vm:close()
    f:release()
    equal(#f:history(), 4)
end)

case("what lasts: for a time, several times, until released", function()
    local function values(spec)
        local vm = program(counting)
        local seen = {}
        spec.target, spec.effect, spec.reg, spec.bit = "reg", "stuck-at-1", "rdx", 0
        local f = fault.inject(vm, spec)
        vm:on("exec", { at = INC }, function(cpu)
            seen[#seen + 1] = cpu.rdx & 1
            cpu.rdx = 0
        end)
        run(vm)
        vm:close()
        return table.concat(seen), f.state
    end
    local seen, state = values { trigger = { insn = 8 } }
    equal(seen .. state, "0011111111active")
    seen, state = values { trigger = { insn = 8 }, duration = { time = 10 } }
    equal(seen .. state, "0011100000over")
    seen, state = values { trigger = { exec = INC, every = 3 }, duration = { time = 5, times = 2 } }
    equal(seen .. state, "0011011000over")
end)

-- ---- wrong specs ----

case("wrong specs teach, with the place in the script", function()
    local vm = program(counting)
    local function wrong(words, spec)
        raises(words, fault.inject, vm, spec)
    end
    local base = { target = "reg", reg = "rax", effect = "flip" }
    local function with(fields)
        local spec = {}
        for _, t in ipairs { base, fields } do
            for k, v in pairs(t) do
                spec[k] = v
            end
        end
        return spec
    end
    wrong('did you mean "ram"', { target = "rem", effect = "flip" })
    wrong("target is missing", {})
    raises("fault.inject(vm, {", fault.inject, { target = "reg" })
    wrong('did you mean "flip"', { target = "reg", effect = "flop" })
    wrong("effect drop does not fit target reg; what fits: flip, stuck-at-0", with { effect = "drop" })
    wrong("there are no disks", { target = "disk", effect = "flip" })
    wrong('unknown key "bti"; did you mean "bit"', with { bti = 1 })
    wrong('unknown key "gpa"', with { gpa = 1 })
    wrong("bit must be an integer from 0 on", with { bit = "x" })
    wrong("needs reg", { target = "reg", effect = "flip" })
    wrong("needs value", with { effect = "set" })
    wrong('did you mean "rax"', with { reg = "raxx" })
    wrong("there is no cpu 3", with { cpu = 3 })
    wrong("step is for effects that last", with { step = 3 })
    wrong("give one of them", { target = "ram", effect = "flip", gpa = 1, gva = 1 })
    wrong("one of gpa, gva, symbol", { target = "ram", effect = "flip" })
    wrong("there is no RAM at 0xfffffff0000", { target = "ram", effect = "flip", gpa = 0xfffffff0000 })
    wrong("there is no RAM at 0x4000000", { target = "ram", effect = "flip", gpa = 0x100000, range = "64M" })
    wrong("size is at most 1M", { target = "ram", effect = "flip", gpa = 0, size = "2M" })
    wrong("a read cannot wait", { target = "pio", port = 1, dir = "read", effect = "delay", time = 1 })
    wrong('unknown key "ins"', with { trigger = { ins = 4 } })
    wrong("both sources", with { trigger = { insn = 4, exec = 4 } })
    wrong("insn must be an integer from 1 on", with { trigger = { insn = 0 } })
    wrong('time must be nanoseconds or text such as "5ms"', with { trigger = { time = "soon" } })
    wrong("probability must be a number from 0 to 1", with { trigger = { exec = 1, probability = 2 } })
    wrong("no events of its own", with { trigger = { nth = 2 } })
    wrong("no events of its own", with { trigger = { sequence = { { insn = 4 }, { event = true } } } })
    wrong("needs a list", with { trigger = { any = {} } })
    wrong('unknown key "nht"; did you mean "nth"', with { trigger = { all = { { exec = 1, nht = 4 } } } })
    wrong("duration must be", with { duration = "twice" })
    wrong('unknown key "tims"; did you mean "time"', with { duration = { tims = 2 } })
    wrong("times = 2 is never reached", with { trigger = { insn = 9 }, duration = { times = 2 } })
    wrong("what lasts takes", with { effect = "stuck-at-0", duration = "once" })
    wrong("there is no event", with { trigger = { hook = { "exce", at = 1 } } })
    wrong("no such memory", { target = "mmio", region = "nothing", effect = "flip" })
    local ok, problem = pcall(fault.inject, vm, with { bti = 1 })
    equal(ok, false)
    equal(tostring(problem):match("^%S*fault_test%.lua:%d+: fault: ") ~= nil, true, tostring(problem))
    equal(#fault.list(vm), 0)
    fault.inject(vm, with { name = "one", trigger = { insn = 5 } })
    wrong('the name "one" is taken', with { name = "one" })
    run(vm)
    wrong("have retired already", with { trigger = { insn = 5 } })
    wrong("it is 43 ns already", with { trigger = { time = 5 } })
    equal(#fault.list(vm), 1)
    vm:close()
end)

case("what cannot be done is recorded", function()
    local vm = program(counting)
    local f = fault.inject(vm, { target = "mmio", effect = "spurious", gpa = 0x100 })
    equal(f:history()[1].event, "failed")
    equal(f:history()[1].problem, "a spurious write needs gpa and value")
    equal(f.hits, 0)
    vm:close()
end)

-- ---- rows of one's own ----

case("targets, effects and triggers of one's own", function()
    fault.effect { name = "add", help = "arithmetic", needs = { "write", "watch" },
        keys = { amount = "integer" }, required = { "amount" }, change = function(f, bytes)
            return string.char(bytes:byte(1) + f.spec.amount & 0xff) .. bytes:sub(2)
        end }
    fault.target { name = "box", help = "for this test", keys = {}, read = function(t)
        return t.vm.memory:read_bytes(0x3000, 2)
    end, write = function(t, bytes)
        t.vm.memory:write_bytes(0x3000, bytes)
    end }
    fault.trigger { name = "third", help = "for this test", type = "any", start = function(f, _, fire)
        local hook = f.vm:on("exec", { at = INC, skip = 2 }, fire)
        return function()
            hook:remove()
        end
    end }
    local vm = program(counting)
    local f = fault.inject(vm, { target = "box", effect = "add", amount = 7, trigger = "third" })
    run(vm)
    equal(hits(f, "insn"), "9")
    equal(vm.memory:read(0x3000, 2), 7)
    raises('unknown key "hlep"; did you mean "help"', fault.effect, { name = "x", hlep = "" })
    raises('there is no type "intger"', fault.effect, { name = "x", keys = { a = "intger" } })
    vm:close()
end)

-- ---- log and reproducibility ----

--- A run with faults of all sorts: its log and the hash of its RAM.
local function disturbed(seed, extra)
    local lines = {}
    fault.log(function(line)
        lines[#lines + 1] = line
    end)
    local vm = program(counting)
    fault.seed(vm, seed)
    fault.inject(vm, { target = "reg", reg = "rax", effect = "flip", count = 2,
        trigger = { exec = INC, probability = 0.4 } })
    fault.inject(vm, { target = "ram", gpa = 0x5000, size = 64, effect = "random",
        trigger = { poisson = 1e8 } })
    fault.inject(vm, { target = "ram", gpa = 0x2000, size = 2, effect = "stuck-at-1", bit = 3,
        trigger = { after = "4ns" }, duration = { time = 20 } })
    if extra then
        fault.inject(vm, { target = "ram", gpa = 0x6000, size = 8, effect = "corrupt", name = "more",
            trigger = { period = 5 } })
    end
    run(vm)
    fault.log(nil)
    local hash = vm:ram_sha256()
    vm:close()
    return lines, hash
end

case("the same seed gives the same log and the same RAM, another one others", function()
    local first, hash = disturbed(1)
    local again, hash_again = disturbed(1)
    local other, other_hash = disturbed(2)
    equal(#first > 10, true)
    equal(table.concat(again, "\n"), table.concat(first, "\n"))
    equal(hash_again, hash)
    equal(table.concat(other, "\n") ~= table.concat(first, "\n"), true)
    equal(other_hash ~= hash, true)
end)

case("one fault more changes nothing about the others", function()
    local first = disturbed(1)
    local kept = {}
    for _, line in ipairs(disturbed(1, true)) do
        kept[#kept + 1] = not line:find('"name":"more"', 1, true) and line or nil
    end
    equal(table.concat(kept, "\n"), table.concat(first, "\n"))
end)

case("the log is JSON with its fields in order, in a file", function()
    local path = os.tmpname()
    fault.log(path)
    local vm = program(counting)
    fault.inject(vm, { target = "reg", reg = "rbx", effect = "set", value = 3, trigger = { insn = 5 },
        name = "this" })
    run(vm)
    local file = assert(io.open(path))
    local text = file:read("a") -- it is there although the log is still open
    file:close()
    fault.log(nil)
    os.remove(path)
    equal(text, '{"insn":0,"ns":0,"vm":"minimal","fault":1,"name":"this","event":"inject","target":"reg",'
        .. '"effect":"set","where":"rbx"}\n'
        .. '{"insn":5,"ns":5,"vm":"minimal","fault":1,"name":"this","event":"hit","target":"reg",'
        .. '"effect":"set","before":0,"after":3}\n')
    equal(json.decode(text:match("\n(.*)\n")).after, 3)
    raises("fault.log takes", fault.log, 5)
    raises("No such file", fault.log, "/nonexistent/x")
    vm:close()
end)

-- ---- monitor ----

case("from the monitor", function()
    local vm = program(counting)
    _G.vm = vm
    equal(monitor.execute("info faults"), "there are no faults")
    local text, ok = monitor.execute("fault_inject target=reg,reg=rdx,effect=set,value=0x10,"
        .. "trigger.insn=5,name=here")
    equal(ok, true, text)
    equal(text, "fault 1 here: set reg rdx, waiting, 0 hits")
    local f = monitor.commands.fault_inject { spec =
        '{ target = "ram", gpa = 0x3000, effect = "set", value = 7, trigger = { exec = 0x1003 } }' }
    equal(f, fault.list(vm)[2])
    monitor.execute("fault_inject target=ram,gpa=0x3001,effect=set,value=7,trigger.insn=30")
    monitor.execute("fault_release 3")
    run(vm)
    equal(vm.cpus[1].rdx, 16)
    equal(vm.memory:read(0x3000, 2), 7)
    local rows = monitor.commands.info("faults")
    equal(#rows, 3)
    equal(rows[1].state .. rows[1].hits .. rows[1].name, "over1here")
    equal(monitor.execute("info faults"), "fault 1 here: set reg rdx, over, 1 hits\n"
        .. "fault 2: set ram gpa 0x3000, over, 1 hits\nfault 3: set ram gpa 0x3001, released, 0 hits")
    text, ok = monitor.execute("fault_inject target=reg,efect=set")
    equal(ok, false)
    equal(text:find("effect is missing", 1, true) ~= nil, true, text)
    text, ok = monitor.execute("fault_release there")
    equal(ok, false)
    equal(text:find('there is no fault "there"', 1, true) ~= nil, true, text)
    equal(monitor.execute("fault_release here"), "")
    _G.vm = nil
    vm:close()
end)

check.finish()
