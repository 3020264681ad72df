--- perilune --doctor: what perilune.doctor has found, for a person; --report writes it into a file.
local core = require "perilune.core"
local util = require "perilune.util"

local M = {}

local STATUS_HOST = 4
local WIDTH = 100

--- Text in lines of at most `width`, those after the first indented by `indent`.
local function wrap(text, width, indent)
    local lines, line = {}, ""
    for word in text:gmatch("%S+") do
        if line ~= "" and #line + 1 + #word > width then
            lines[#lines + 1] = line
            line = word
        else
            line = line == "" and word or line .. " " .. word
        end
    end
    lines[#lines + 1] = line
    return table.concat(lines, "\n" .. (" "):rep(indent))
end

local function print_row(row)
    local indent = 28
    print(("  %-8s %-16s %s"):format(row.state, row.name, wrap(row.text, WIDTH - indent, indent)))
    if row.remedy then
        print((" "):rep(indent) .. "-> " .. wrap(row.remedy, WIDTH - indent - 3, indent + 3))
    end
end

local function print_all(answer)
    local f = answer.facts
    print(("Perilune %s on Linux %s, %s, %d processors, %d MiB"):format(f.versions.perilune,
        f.system.kernel, f.processor.model, f.processor.count, f.memory.total_mib))
    local group
    for _, row in ipairs(answer.rows) do
        if row.group ~= group then
            group = row.group
            print("\n" .. group)
        end
        print_row(row)
    end
    print()
    if not answer.usable then
        print("No machine can be run here.")
    else
        print(wrap(("Machines can be run. --accel auto would choose %s, because %s."):format(answer.accel,
            answer.why), WIDTH, 0))
    end
end

local function write_report(answer, path)
    local file, problem = io.open(path, "w")
    if not file then
        util.fail("--report: " .. problem)
    end
    local report = { format = "perilune-report", version = 1 }
    for key, value in pairs(answer) do
        report[key] = value
    end
    file:write(require("perilune.json").encode(report, true), "\n")
    file:close()
    print(("\nThe report is in %s: one JSON file, to be read and sent. It names neither you nor this host.")
        :format(path))
end

--- Returns the exit status: 0 if a machine can be run at all.
function M.run(report)
    core.log_file("/dev/null") -- what a self-test's machine says of its end is judged below
    local answer = require("perilune.doctor").examine()
    print_all(answer)
    if report then
        write_report(answer, report)
    end
    return answer.usable and 0 or STATUS_HOST
end

return M
