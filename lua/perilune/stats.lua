--- What a run has done, as data: --stats writes it as JSON.
local machine = require "perilune.machine"

local M = {}

local function links(vm)
    local out = {}
    for _, link in ipairs(vm:links()) do
        local ends = link:stats()
        local row = { frames = 0, bytes = 0, dropped = 0, from = {} }
        for _, direction in ipairs(ends) do
            row.frames = row.frames + direction.frames
            row.bytes = row.bytes + direction.bytes
            row.dropped = row.dropped + direction.dropped
            row.from[direction.from] = {
                frames = direction.frames,
                bytes = direction.bytes,
                dropped = direction.dropped,
            }
        end
        out[link.name] = row
    end
    return out
end

--- A table that json.encode takes.
function M.collect(vm)
    local s = vm:stats()
    local p = machine.properties[vm] or {}
    local wall_s = s.wall_ns / 1e9
    local out = {
        machine = vm.name,
        accel = vm.accel,
        exit_reason = vm.exit_reason,
        exit_status = vm.exit_status,
        instructions = s.instructions,
        virtual_ns = s.virtual_ns,
        idle_skipped_ns = s.idle_skipped_ns,
        wall_s = wall_s,
        mips = wall_s > 0 and s.instructions / wall_s / 1e6 or 0.0,
        exits = s.exits,
        interrupts = s.interrupts,
        exceptions = s.exceptions,
        blocks_decoded = s.blocks_decoded,
        links = links(vm),
        boot = vm.boot,
    }
    if p["stats.ram_hash"] then
        out.ram_sha256 = vm:ram_sha256()
    end
    return out
end

M.reference = { { name = "perilune.stats", label = "module", help = "what a run has done, as data",
    of = M, functions = {
        { "collect", "(vm) → table", "what --stats writes as JSON" },
    } } }

return M
