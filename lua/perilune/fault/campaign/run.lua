--- One run of a campaign: a machine from its start to its end, with or without a fault.
local fault = require "perilune.fault"
local json = require "perilune.json"
local random = require "perilune.fault.random"
local util = require "perilune.util"

local M = {}

--- How a run can end, in the order of tables and colours.
M.outcomes = { "masked", "detected", "wrong output", "crash", "hang" }

--- A run that takes so much longer than the one without a fault hangs: instructions or virtual time.
local PATIENCE <const> = 3
local OUTPUT_MAX <const> = 65536

--- The groups of places that a campaign's machine has: { { name =, { name =, pick = }, ... }, ... }.
local function groups_of(campaign, vm)
    return type(campaign.groups) == "function" and campaign.groups(vm) or campaign.groups
end

local function names_of(groups)
    local list = {}
    for i, group in ipairs(groups) do
        list[i] = { name = group.name, places = {} }
        for n, place in ipairs(group) do
            list[i].places[n] = place.name
        end
    end
    return list
end

--- Run number n's fault: any group, any place in it, any instruction of the golden run.
local function choose(groups, seed, n, golden)
    local r = random.new(seed, "run " .. n)
    local group = groups[1 + r:below(#groups)]
    local place = group[1 + r:below(#group)]
    local spec = place.pick(r)
    spec.seed = spec.seed or seed
    -- After its last instruction the machine has ended.
    local last = math.max(1, golden.instructions - 1)
    spec.trigger = spec.trigger or { insn = math.min(1 + r:below(golden.instructions), last) }
    return { group = group.name, place = place.name }, spec
end

local function set_limits(vm, golden)
    local function stop()
        vm:stop("limit", 1)
    end
    vm:on("insn", { at = PATIENCE * golden.instructions, name = "limit" }, stop)
    vm:at(PATIENCE * golden.ns, stop)
end

--- Text that JSON can hold, whatever a guest has written.
local function printable(text)
    return (text:sub(1, OUTPUT_MAX):gsub("[^\n\x20-\x7e]", function(c)
        return ("\\x%02x"):format(c:byte())
    end))
end

--- What became of the machine; ends it.
local function execute(vm, campaign)
    local output = {}
    vm:chardevs()[1]:on_output(function(text)
        output[#output + 1] = text
    end)
    vm:run()
    if vm.state ~= "ended" then
        util.fail(("campaign %s: the machine was paused: %s"):format(campaign.name, vm.pause_reason))
    end
    local run = { exit = vm.exit_reason, status = vm.exit_status, instructions = vm.instructions,
        ns = vm.clock.virtual.now, output = table.concat(output), ram = vm:ram_sha256() }
    run.detected = campaign.detected ~= nil and campaign.detected(run) or nil
    run.output = printable(campaign.output and campaign.output(run.output) or run.output)
    vm:close()
    return run
end

local function outcome_of(run, golden)
    if run.exit == "limit" then
        return "hang"
    elseif run.detected then
        return "detected"
    elseif run.exit ~= golden.exit or run.status ~= golden.status then
        return "crash"
    end
    return run.output == golden.output and "masked" or "wrong output"
end

--- The run without a fault, with the names of the places where faults may be.
function M.golden(campaign)
    local vm = campaign.create()
    local names = names_of(groups_of(campaign, vm))
    local run = execute(vm, campaign)
    if run.detected then
        util.fail(("campaign %s: the program reports an error without a fault"):format(campaign.name))
    end
    run.groups = names
    return run
end

local fields = { "run", "group", "place", "outcome", "exit", "status", "instructions", "ns",
    "output", "ram" }

--- Run number n: a line of JSON, always the same for the same campaign, seed and number.
function M.line(campaign, seed, n, golden)
    local vm = campaign.create()
    local lines = {}
    fault.log(function(line)
        lines[#lines + 1] = line
    end)
    local chosen, spec = choose(groups_of(campaign, vm), seed, n, golden)
    fault.inject(vm, spec)
    set_limits(vm, golden)
    local run = execute(vm, campaign)
    fault.log(nil)
    run.run, run.group, run.place = n, chosen.group, chosen.place
    run.outcome = outcome_of(run, golden)
    local parts = {}
    for i, key in ipairs(fields) do
        parts[i] = json.encode(key) .. ":" .. json.encode(run[key])
    end
    return ("{%s,\"log\":[%s]}"):format(table.concat(parts, ","), table.concat(lines, ","))
end

--- The first line of the results: what they are of.
function M.header(name, seed, golden)
    return json.encode { campaign = name, seed = seed, golden = golden }
end

-- ---- places ----

--- One bit of a register of `width` bits (64).
function M.register(name, width)
    return { name = name, pick = function(r)
        return { target = "reg", reg = name, effect = "flip", bit = r:below(width or 64) }
    end }
end

--- One bit somewhere in `size` bytes of memory.
function M.ram(name, gpa, size)
    return { name = name, pick = function(r)
        return { target = "ram", gpa = gpa + r:below(size), effect = "flip", bit = r:below(8) }
    end }
end

return M
