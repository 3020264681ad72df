--- What this host can do for Perilune, and what to do about the rest: as data. `perilune --doctor` prints
-- it, lua/perilune/cli/doctor.lua.
--
-- facts() looks: at /proc, at the terminal, at the backends by trials. Each row of `checks` judges some of
-- them. Nothing of it tells who or where the user is.
local accel = require "perilune.accel"
local core = require "perilune.core"
local uv = require "luv"

local M = {}

-- ---- looking ----

local function read(path)
    local file = io.open(path, "r")
    local text = file and file:read("a")
    if file then
        file:close()
    end
    return text
end

local function processor()
    local text = read("/proc/cpuinfo") or ""
    local flags = {}
    for name in (text:match("\nflags%s*: ([^\n]*)") or ""):gmatch("%S+") do
        flags[#flags + 1] = name
    end
    return {
        model = text:match("model name%s*: ([^\n]*)") or "unknown",
        vendor = text:match("vendor_id%s*: ([^\n]*)") or "unknown",
        flags = flags,
        count = #uv.cpu_info(),
    }
end

local function mebibytes(text, key)
    return (math.tointeger(tonumber(text:match(key .. ":%s*(%d+) kB"))) or 0) >> 10
end

local function memory()
    local info = read("/proc/meminfo") or ""
    local huge = read("/sys/kernel/mm/transparent_hugepage/enabled") or ""
    return {
        total_mib = mebibytes(info, "MemTotal"),
        available_mib = mebibytes(info, "MemAvailable"),
        huge_pages = math.tointeger(tonumber(info:match("HugePages_Total:%s*(%d+)"))) or 0,
        transparent_huge_pages = huge:match("%[(%w+)%]") or "missing",
    }
end

--- A limit of this process: a number, or "unlimited".
local function limit(name)
    local text = (read("/proc/self/limits") or ""):match(name .. "%s+(%S+)")
    return math.tointeger(tonumber(text)) or text or "unknown"
end

--- "Y", "1": can guests of this host's KVM have one of their own? nil: no module says.
local function nested()
    for _, module in ipairs { "kvm_intel", "kvm_amd" } do
        local text = read("/sys/module/" .. module .. "/parameters/nested")
        if text then
            return text:match("^[Y1]") ~= nil
        end
    end
    return nil
end

local function has(list, name)
    for _, value in ipairs(list) do
        if value == name then
            return true
        end
    end
    return false
end

local function versions()
    local list = core.versions()
    list.perilune = core.version
    list.libuv = uv.version_string()
    return list
end

local function backend(name, selftests)
    local survey, problem = core.survey(name, true)
    local b = { facts = survey, problem = problem }
    if survey and selftests then
        local ok, results = pcall(require("perilune.selftest").run, name)
        b.selftest = ok and results or nil
        b.problem = not ok and tostring(results) or nil
    end
    return b
end

--- What there is: a table of tables, texts and numbers. Takes up to a few seconds where KVM hangs.
function M.facts()
    local uname = uv.os_uname()
    return {
        system = { kernel = uname.release, machine = uname.machine },
        processor = processor(),
        memory = memory(),
        limits = { locked_memory = limit("Max locked memory"), address_space = limit("Max address space"),
            open_files = limit("Max open files") },
        terminal = { input = uv.guess_handle(0), output = uv.guess_handle(1),
            type = os.getenv("TERM") or "" },
        versions = versions(),
        resolver = (read("/etc/resolv.conf") or ""):find("\n?%s*nameserver") ~= nil,
        nested = nested(),
        soft = backend("soft", true),
        kvm = backend("kvm", true),
    }
end

-- ---- judging ----

--- A check: group, name, and a function of the facts that returns "ok", "limited" or "missing", what was
-- found, and for the other two the remedy. "none": nothing to say here.
local checks = {}

local function check(group, name, judge)
    checks[#checks + 1] = { group = group, name = name, judge = judge }
end

local function selftest(b)
    local failed, count = {}, 0
    for _, r in ipairs(b.selftest or {}) do
        count = count + 1
        if r.problem then
            failed[#failed + 1] = ("%s (%s)"):format(r.name, r.problem)
        end
    end
    return failed, count
end

local function judge_selftest(b, remedy)
    local failed, count = selftest(b)
    if count == 0 then
        return "missing", "no program runs: " .. accel.plain(b.problem or "unknown"), remedy
    elseif #failed > 0 then
        return "limited", ("%d of %d programs run; not: %s"):format(count - #failed, count,
            table.concat(failed, ", ")), remedy
    end
    return "ok", ("all %d programs run"):format(count)
end

check("software CPU", "processor", function(f)
    if has(f.processor.flags, "sse4_2") then
        return "ok", "has SSE4.2, which the software CPU needs"
    end
    return "missing", "has no SSE4.2, which the software CPU needs",
        "use a newer host; in a virtual machine, give it a cpu with SSE4.2"
end)

check("software CPU", "self-test", function(f)
    return judge_selftest(f.soft, "this is a fault of Perilune: send a report (--doctor --report)")
end)

--- Why /dev/kvm cannot be used, and the remedy: the backend's text says both. It cannot tell a host
-- without the module from one without the hardware; the flags can.
check("KVM", "/dev/kvm", function(f)
    if f.kvm.facts then
        return "ok", "opens"
    end
    local what, remedy = accel.plain(f.kvm.problem):match("^(.-): (.*)$")
    local hardware = has(f.processor.flags, "vmx") or has(f.processor.flags, "svm")
    if not hardware and (what or ""):find("missing", 1, true) then
        remedy = has(f.processor.flags, "hypervisor")
            and "this host is a virtual machine: ask for nested virtualisation on the host below, then "
            .. "load the module kvm_intel or kvm_amd"
            or "the processor shows neither vmx nor svm: switch virtualisation on in the firmware"
    end
    return "missing", what or f.kvm.problem, remedy
end)

local function on_kvm(name, judge)
    check("KVM", name, function(f)
        if not f.kvm.facts then
            return "none"
        end
        return judge(f.kvm.facts, f)
    end)
end

on_kvm("speed", function(k)
    local text = "a guest's kernel code runs at " .. accel.speed(k.mips)
    if k.mips >= accel.mips_wanted then
        return "ok", text
    end
    return "limited", text .. "; the software CPU does some 280 million",
        "virtualisation is emulated here: use --accel soft, or a host whose processor has it"
end)

on_kvm("exits", function(k)
    if k.exit_ns == 0 then
        return "missing", "a guest does not get to a port and back", "use --accel soft"
    end
    local text = ("a guest is at a port and back in %.1f us"):format(k.exit_ns / 1000)
    if k.exit_ns < 10000 then
        return "ok", text
    end
    return "limited", text, "devices are slow here, as in a virtual machine within another; use the host below"
end)

on_kvm("self-test", function(_, f)
    return judge_selftest(f.kvm, "use --accel soft for what needs these")
end)

local function yes(label, key, works, fails)
    on_kvm(label, function(k)
        if k[key] and k[key] > 0 then
            return "ok", works
        end
        return "limited", fails, "use --accel soft, or a newer kernel"
    end)
end

yes("breakpoints", "break_exec", "stop before an instruction, and single steps go on from there",
    "breakpoints on execution and single steps are not honoured: hooks on execution are refused")
yes("watchpoints", "break_write", "writes to data are told of",
    "neither breakpoints on writes nor read-only memory are honoured: hooks on writes are refused")
yes("MSR hooks", "break_msr", "accesses to MSRs exit as asked", "accesses to MSRs do not exit")
yes("interrupts", "irqchip", "interrupt controllers in the kernel are there",
    "no interrupt controllers in the kernel")
yes("clock", "clock", "kvmclock can be read and set: a paused guest's time stands still",
    "kvmclock cannot be set: time jumps over a pause")

on_kvm("cpus", function(k)
    return k.vcpus > 1 and "ok" or "limited", ("%d vcpus for each machine at most, %d recommended")
        :format(k.vcpus, k.vcpus_recommended), "use --smp 1, or a newer kernel"
end)

on_kvm("nested", function(_, f)
    if f.nested then
        return "ok", "guests may have a KVM of their own"
    elseif f.nested == false then
        return "limited", "guests have no KVM of their own",
            "modprobe kvm_intel nested=1 (kvm_amd nested=1), if they are to have one"
    end
    return "none"
end)

check("host", "memory", function(f)
    local m = f.memory
    local text = ("%d MiB of %d are free"):format(m.available_mib, m.total_mib)
    if m.available_mib >= 1024 then
        return "ok", text
    end
    return "limited", text, "a machine has 512 MiB unless --memory says otherwise: give --memory 128M"
end)

check("host", "address space", function(f)
    if f.limits.address_space == "unlimited" then
        return "ok", "not limited"
    end
    return "limited", ("limited to %s bytes"):format(f.limits.address_space), "ulimit -v unlimited"
end)

check("host", "locked memory", function(f)
    local bytes = f.limits.locked_memory
    if math.type(bytes) ~= "integer" then
        return "ok", "not limited"
    end
    return "ok", ("limited to %d KiB; Perilune locks none"):format(bytes // 1024)
end)

check("host", "huge pages", function(f)
    local m = f.memory
    local text = ("transparent: %s; reserved: %d"):format(m.transparent_huge_pages, m.huge_pages)
    if m.transparent_huge_pages == "always" or m.transparent_huge_pages == "madvise" then
        return "ok", text
    end
    return "limited", text, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, for speed under KVM"
end)

check("host", "open files", function(f)
    local n = f.limits.open_files
    if math.type(n) ~= "integer" or n >= 256 then
        return "ok", ("%s descriptors"):format(n)
    end
    return "limited", ("%d descriptors"):format(n), "ulimit -n 1024, for machines with many backends"
end)

check("host", "terminal", function(f)
    local t = f.terminal
    if t.input ~= "tty" or t.output ~= "tty" then
        return "limited", "input and output are no terminal: the monitor has no line editing",
            "run it in a terminal, if somebody is to type"
    elseif t.type == "" or t.type == "dumb" then
        return "limited", ("TERM is \"%s\""):format(t.type), "set TERM to your terminal's name, such as xterm"
    end
    return "ok", t.type
end)

check("host", "user networking", function(f)
    local text = ("libslirp %s, needs no privileges"):format(f.versions.slirp)
    if f.resolver then
        return "ok", text
    end
    return "limited", text .. "; no name server in /etc/resolv.conf: guests cannot look names up",
        "name one in /etc/resolv.conf"
end)

check("host", "libraries", function(f)
    local v = f.versions
    return "ok", ("%s, libuv %s, Zydis %s, jansson %s, nettle %s"):format(v.lua, v.libuv, v.zydis,
        v.jansson, v.nettle)
end)

-- ---- the answer ----

--- Judge facts. Returns { { group =, name =, state =, text =, remedy = }, ... }.
function M.judge(facts)
    local rows = {}
    for _, c in ipairs(checks) do
        local state, text, remedy = c.judge(facts)
        if state ~= "none" then
            rows[#rows + 1] = { group = c.group, name = c.name, state = state, text = text,
                remedy = state ~= "ok" and remedy or nil }
        end
    end
    return rows
end

local function runs(b)
    local failed, count = selftest(b)
    return count > #failed
end

--- perilune.doctor() → { usable =, accel =, why =, facts =, rows = }: can a machine be run here at all,
-- what --accel auto would choose and why, and all that was found.
function M.examine()
    local facts = M.facts()
    local choice, why = accel.choose({}, function()
        return facts.kvm.facts, facts.kvm.problem
    end)
    return {
        usable = runs(facts.soft) or runs(facts.kvm),
        accel = choice,
        why = why,
        facts = facts,
        rows = M.judge(facts),
    }
end

M.reference = { { name = "perilune.doctor", label = "module", of = M,
    help = "what this host can do, and what to do about the rest", functions = {
        { "examine", "() → table",
            "look, by trials too: { usable =, accel =, why =, facts =, rows = { { group =, name =, "
            .. "state =, text =, remedy = }, ... } }" },
        { "facts", "() → table", "what there is" },
        { "judge", "(facts: table) → { table, ... }", "what is said of facts" },
    } } }

return M
