--- Which accelerator `--accel auto` means on this host, and why.
local core = require "perilune.core"

local M = {}

--- Millions of instructions a second that KVM must run guest code at. The software CPU does some
-- 280; a processor that executes it does some thousands; what lies between is an emulation.
M.mips_wanted = 2000

--- An error of the KVM backend, without the backend's name and without the advice to use the other one.
function M.plain(problem)
    return (problem:gsub("^kvm: ", ""):gsub("[,;:]? ?or use %-%-accel soft$", "")
        :gsub("^use %-%-accel soft: ", ""))
end

--- A speed as text.
function M.speed(mips)
    if mips < 1 then
        return "less than a million instructions a second"
    end
    return ("%d million instructions a second"):format(mips)
end

--- What a survey says against KVM; nil: nothing.
function M.objection(facts, problem)
    if not facts then
        return M.plain(problem)
    elseif facts.mips < M.mips_wanted then
        return ("/dev/kvm opens, but runs a guest's kernel code at %s; %d million are "
            .. "wanted, the software CPU does some 280 million"):format(M.speed(facts.mips), M.mips_wanted)
    end
    return nil
end

--- "soft" or "kvm" for a machine with the properties `p`, and why. `survey` is core.survey, or what a
-- test has in its place.
function M.choose(p, survey)
    survey = survey or core.survey
    if p.idle == "warp" then
        return "soft", "a run with idle=warp is to repeat exactly"
    end
    local facts, problem = survey("kvm")
    local objection = M.objection(facts, problem)
    if objection then
        return "soft", objection
    end
    facts = survey("kvm", true) or facts
    local breaks = facts.break_exec == 1 and "breakpoints and single steps work"
        or "breakpoints and single steps do not work here, so hooks on execution need --accel soft"
    return "kvm", ("guest code runs at %s; %s"):format(M.speed(facts.mips), breaks)
end

--- The backend of a machine with these properties; when that is "auto", a line on standard error says
-- which one and why.
function M.resolve(p)
    if p.accel ~= "auto" then
        return p.accel
    end
    local name, why = M.choose(p)
    io.stderr:write(("perilune: --accel auto: %s, because %s\n"):format(name, why))
    return name
end

M.reference = { { name = "perilune.accel", label = "module", of = M,
    help = "which accelerator accel = \"auto\" means, and why",
    internal = { "plain", "speed", "objection", "resolve" }, functions = {
        { "choose", "(properties: table [, survey: f]) → name, reason",
            "soft or kvm for a machine with these properties, by trials" },
    }, properties = {
        { "mips_wanted", "integer",
            "how fast KVM must run guest code, in millions of instructions a second" },
    } } }

return M
