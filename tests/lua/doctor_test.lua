-- --cpu, --accel auto and --doctor: what is chosen, and what is said of this host and of others.
local accel = require "perilune.accel"
local check = require "check"
local command = require "command"
local core = require "perilune.core"
local doctor = require "perilune.doctor"
local json = require "perilune.json"

local case, equal, run = check.case, check.equal, command.run

local function has(text, words)
    if not text:find(words, 1, true) then
        error(("%q does not contain %q"):format(text, words), 2)
    end
end

local function refused(words, ...)
    local output, status = run("--machine", "minimal", "--dump", "mtree", ...)
    equal(status, 2, "status")
    has(output, words)
end

case("cpu models and features of the command line", function()
    refused('--cpu: there is no model "hots"; did you mean "host"?', "--cpu", "hots")
    refused('--cpu: there is no feature "popcn"; did you mean "popcnt"?', "--cpu", "base,+popcn")
    refused('--cpu: accel "soft" cannot give "avx512f"', "--cpu", "host,+avx512f")
    refused('--cpu: accel "soft" cannot give "kvmclock"', "--cpu", "base,+kvmclock")
    for _, text in ipairs { "base", "host", "max", "base,+popcnt", "host,-sse4.2", "max,lahf-lm=off" } do
        local output, status = run("--machine", "minimal", "--dump", "mtree", "--cpu", text)
        equal(status, 0, text .. output)
    end
end)

case("--cpu help lists models and features", function()
    local output, status = run("--cpu", "help")
    equal(status, 0)
    for _, words in ipairs { "\n  base  ", "\n  host  ", "popcnt", "lahf_lm", "avx512f", "NEEDS" } do
        has(output, words)
    end
end)

case("a guest sees what was chosen", function()
    -- mov $1, %eax; cpuid; hlt
    local code = "\xb8\x01\x00\x00\x00\x0f\xa2\xf4"
    local function ecx(cpu)
        local vm <close> = perilune.machine("minimal", { cpu = cpu, serial = "none", memory = "4M",
            kernel = command.program("cpuid", code), idle = "warp" })
        vm:step(3)
        return vm.cpus[1].rcx
    end
    local popcnt, sse42 = 1 << 23, 1 << 20
    equal(ecx("base") & (popcnt | sse42), popcnt | sse42)
    equal(ecx("base,-popcnt") & (popcnt | sse42), sse42)
    equal(ecx("max,-ssse3") & (popcnt | sse42), popcnt)
end)

case("a definition chooses its cpu", function()
    local board = machine.define { name = "board", props = { cpu = { "string", "base,-popcnt" },
        memory = { "size", "1M" } }, build = function() end }
    local vm <close> = perilune.machine(board, {})
    equal(#vm.cpus, 1)
    check.raises('no feature "sse9"', perilune.machine, board, { cpu = "base,+sse9" })
end)

case("model-specific registers as a table", function()
    local vm <close> = perilune.machine("minimal", { serial = "none", memory = "4M" })
    local msrs = vm.cpus[1]:msrs()
    equal(msrs[0x277], 0x0007040600070406) -- the page attribute table after RESET
    equal(msrs[0xc0000082], 0)
    equal(msrs[0x1], nil)
end)

case("features as a table", function()
    local by_name = {}
    for _, f in ipairs(core.cpu_features("soft", "base,-sse3")) do
        by_name[f.name] = f
    end
    local f = by_name.popcnt
    equal(("%d %s %d"):format(f.leaf, f.reg, f.bit), "1 ecx 23")
    equal(f.offered and f.chosen, true)
    equal(by_name.sse4_2.offered, true)
    equal(by_name.sse4_2.chosen, false) -- by way of ssse3 and sse4_1
    equal(by_name.avx.offered, true) -- of the model max
    equal(by_name.avx.chosen, false)
    equal(by_name.avx512f.offered, false)
end)

-- ---- --accel auto ----

--- A survey of a host with these facts.
local function host(facts, problem)
    return function(_, thorough)
        local seen = facts and { mips = facts.mips } or nil
        return thorough and facts or seen, problem
    end
end

local good = { mips = 6100, break_exec = 1 }

case("auto chooses what is fast", function()
    local function choose(p, survey)
        local name, why = accel.choose(p, survey)
        equal(why:find("\n"), nil, "one line")
        return name, why
    end
    local name, why = choose({}, host(good))
    equal(name, "kvm")
    has(why, "6100 million instructions a second; breakpoints and single steps work")
    name, why = choose({}, host { mips = 6100, break_exec = 0 })
    equal(name, "kvm")
    has(why, "hooks on execution need --accel soft")
    name, why = choose({}, host { mips = 4, break_exec = 1 })
    equal(name, "soft")
    has(why, "4 million instructions a second")
    equal(choose({}, host { mips = accel.mips_wanted - 1, break_exec = 1 }), "soft")
    equal(choose({}, host { mips = accel.mips_wanted, break_exec = 1 }), "kvm")
    name, why = choose({}, host(nil, "kvm: /dev/kvm is missing: load the module, or use --accel soft"))
    equal(name, "soft")
    equal(why, "/dev/kvm is missing: load the module")
    name, why = choose({ idle = "warp" }, function()
        error("a repeatable run needs no look at the host")
    end)
    equal(name, "soft")
    has(why, "repeat")
end)

case("auto says so in one line, and nobody else does", function()
    local output, status = run("--machine", "minimal", "--accel", "auto", "--dump", "flat")
    equal(status, 0)
    local _, lines = output:gsub("perilune: %-%-accel auto: %l+, because [^\n]+\n", "")
    equal(lines, 1)
    output = run("--machine", "minimal", "--dump", "flat")
    equal(output:find("accel", 1, true), nil)
    local vm <close> = perilune.machine("minimal", {})
    equal(vm.accel, "soft")
end)

-- ---- the doctor ----

--- Facts of a host where all is well.
local function healthy()
    local survey = { mips = 6100, exit_ns = 1500, break_exec = 1, break_write = 1, break_msr = 1,
        irqchip = 1, clock = 14, vcpus = 1024, vcpus_recommended = 8, msrs = 90 }
    local tests = { { name = "integer", ns = 1000 } }
    return {
        system = { kernel = "6.1.0", machine = "x86_64" },
        processor = { model = "A", vendor = "GenuineIntel", flags = { "sse4_2", "vmx" }, count = 8 },
        memory = { total_mib = 16000, available_mib = 8000, huge_pages = 0,
            transparent_huge_pages = "madvise" },
        limits = { locked_memory = "unlimited", address_space = "unlimited", open_files = 1024 },
        terminal = { input = "tty", output = "tty", type = "xterm" },
        versions = { lua = "Lua 5.4.4", libuv = "1", slirp = "4", zydis = "4", jansson = "2", nettle = "3",
            perilune = "0" },
        resolver = true,
        nested = true,
        soft = { facts = {}, selftest = tests },
        kvm = { facts = survey, selftest = tests },
    }
end

local function row_of(rows, name, group)
    for _, row in ipairs(rows) do
        if row.name == name and (not group or row.group == group) then
            return row
        end
    end
    error("no row " .. name, 2)
end

case("a healthy host gets no remedy", function()
    for _, row in ipairs(doctor.judge(healthy())) do
        equal(row.state, "ok", row.name)
        equal(row.remedy, nil, row.name)
    end
end)

case("what is not there is named with its remedy", function()
    local function expect(name, state, words, change)
        local f = healthy()
        change(f)
        local row = row_of(doctor.judge(f), name)
        equal(row.state, state, name)
        has(row.text .. " -> " .. row.remedy, words)
    end
    local missing = "kvm: /dev/kvm is missing: load the module kvm_intel or kvm_amd (virtualisation must be "
        .. "enabled in the firmware), or use --accel soft"
    expect("/dev/kvm", "missing", "is missing -> load the module kvm_intel", function(f)
        f.kvm = { problem = missing }
    end)
    expect("/dev/kvm", "missing", "ask for nested virtualisation", function(f)
        f.kvm = { problem = missing }
        f.processor.flags = { "sse4_2", "hypervisor" }
    end)
    expect("/dev/kvm", "missing", "switch virtualisation on in the firmware", function(f)
        f.kvm = { problem = missing }
        f.processor.flags = { "sse4_2" }
    end)
    expect("/dev/kvm", "missing", "no permission for /dev/kvm -> join its group", function(f)
        f.kvm = { problem = "kvm: no permission for /dev/kvm: join its group (usermod -aG kvm USER, then "
            .. "log in again), or use --accel soft" }
    end)
    expect("speed", "limited", "emulated", function(f) f.kvm.facts.mips = 4 end)
    expect("exits", "limited", "20.0 us", function(f) f.kvm.facts.exit_ns = 20000 end)
    expect("exits", "missing", "does not get to a port", function(f) f.kvm.facts.exit_ns = 0 end)
    expect("breakpoints", "limited", "hooks on execution", function(f) f.kvm.facts.break_exec = 0 end)
    expect("watchpoints", "limited", "hooks on writes", function(f) f.kvm.facts.break_write = 0 end)
    expect("nested", "limited", "modprobe", function(f) f.nested = false end)
    expect("processor", "missing", "SSE4.2", function(f) f.processor.flags = {} end)
    expect("self-test", "limited", "0 of 1 programs run; not: integer (triple-fault)", function(f)
        f.soft.selftest = { { name = "integer", problem = "triple-fault" } }
    end)
    expect("memory", "limited", "--memory 128M", function(f) f.memory.available_mib = 100 end)
    expect("open files", "limited", "ulimit -n", function(f) f.limits.open_files = 64 end)
    expect("terminal", "limited", "TERM", function(f) f.terminal.type = "dumb" end)
    expect("user networking", "limited", "name server", function(f) f.resolver = false end)
end)

case("the doctor runs here, and from Lua", function()
    local output, status = run("--doctor")
    equal(status, 0)
    for _, words in ipairs { "software CPU\n  ok", "/dev/kvm", "all 7 programs run", "user networking",
        "Machines can be run. --accel auto would choose" } do
        has(output, words)
    end
    local answer = perilune.doctor()
    equal(answer.usable, true)
    equal(row_of(answer.rows, "self-test", "software CPU").state, "ok")
    equal(#answer.facts.soft.selftest, 7)
end)

case("a report is one file without private data", function()
    local path = command.dir .. "/report.json"
    local output, status = run("--doctor", "--report", path)
    equal(status, 0)
    has(output, path)
    local text = command.read(path)
    local report = json.decode(text)
    equal(report.format, "perilune-report")
    equal(type(report.facts.processor.flags), "table")
    equal(#report.facts.soft.selftest, 7)
    local uv = require "luv"
    for _, private in ipairs { uv.os_gethostname(), os.getenv("HOME") or "/root", command.dir,
        uv.os_get_passwd().username } do
        if #private > 3 and text:find(private, 1, true) then
            error("the report has " .. private)
        end
    end
    equal(text:find("%x%x:%x%x:%x%x:%x%x:%x%x"), nil, "a MAC address")
    output, status = command.shell("cd '" .. command.dir .. "' && $P --report </dev/null")
    equal(status, 0)
    has(output, "perilune-report.json")
    json.decode(command.read(command.dir .. "/perilune-report.json"))
    output, status = run("--report", "/nowhere/at/all")
    equal(status, 2)
    has(output, "--report: /nowhere/at/all")
end)

command.clean()
check.finish()
