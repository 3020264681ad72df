--- What --help, --machine help and --device help print.
local core = require "perilune.core"
local options = require "perilune.cli.options"
local util = require "perilune.util"

local M = {}

--- Rows of cells in columns, the last one free.
local function columns(rows)
    local widths = {}
    for _, row in ipairs(rows) do
        for i = 1, #row - 1 do
            widths[i] = math.max(widths[i] or 0, math.min(#row[i], 34))
        end
    end
    local out = {}
    for _, row in ipairs(rows) do
        local cells = {}
        for i, cell in ipairs(row) do
            cells[i] = i < #row and cell .. (" "):rep((widths[i] or 0) - #cell) or cell
        end
        out[#out + 1] = ("  " .. table.concat(cells, "  ")):gsub("%s+$", "")
    end
    return table.concat(out, "\n")
end

function M.help()
    local rows = {}
    for _, row in ipairs(options.rows) do
        if row.help then
            local spelling = (#row.name > 1 and "--" or "-") .. row.name
            for _, short in ipairs(row.short or {}) do
                if short ~= row.name then
                    spelling = spelling .. ", -" .. short
                end
            end
            rows[#rows + 1] = { spelling .. (row.arg and " " .. row.arg or ""), row.help }
        end
    end
    print("perilune: a virtual machine host scripted in Lua\n")
    print("  perilune --machine pc --memory 512M --kernel vmlinuz --append console=ttyS0 --nographic")
    print("  perilune script.lua [ARGUMENT...]")
    print("  perilune test FILE... [OPTION...]    (perilune test --help)\n")
    for _, row in ipairs(rows) do
        print("  " .. row[1])
        print("        " .. row[2])
    end
    print("\nOne dash does as well as two. PERILUNE_PATH: directories with machines and Lua modules.")
    print("Exit status: 0 the guest powered off, odd: (value << 1) | 1 by isa-debug-exit, 2 a wrong")
    print("option, file or definition, 4 a failure of the host, 6 a triple fault under --no-reboot.")
end

--- What may follow one option.
function M.option_help(row)
    print(("--%s %s"):format(row.name, row.arg))
    print("  " .. row.help)
end

function M.version()
    print("perilune " .. core.version)
end

function M.machine_help()
    local machine = require "perilune.machine"
    local rows = {}
    local found = machine.available()
    for _, name in ipairs(util.sorted_keys(found)) do
        local ok, def = pcall(machine.load, found[name])
        rows[#rows + 1] = { name, ok and def.desc or "cannot be loaded: " .. tostring(def) }
    end
    print("machines:")
    print(columns(rows))
end

function M.machine_props_help(name)
    local machine = require "perilune.machine"
    local props = require "perilune.props"
    local def = machine.load(name)
    print(("machine %s: %s"):format(def.name, def.desc))
    local rows = {}
    for _, key in ipairs(util.sorted_keys(def.props)) do
        local row = def.props[key]
        local default = props.show_default(row)
        rows[#rows + 1] = { key, props.show_type(row), default ~= "" and "default " .. default
            or "",
            row.help or "" }
    end
    print(columns(rows))
end

local function cpu_cell(f)
    if not f then
        return "?"
    end
    local cell = f.chosen and "base" or (f.offered or f.withheld) and "yes" or "-"
    return f.withheld and cell .. "*" or cell
end

--- Names in lines of text.
local function print_wrapped(names)
    local line = " "
    for _, name in ipairs(names) do
        if #line + #name > 98 then
            print(line)
            line = " "
        end
        line = line .. " " .. name
    end
    print(line)
end

function M.cpu_help()
    local soft = core.cpu_features("soft")
    local kvm, problem = core.cpu_features("kvm")
    print("models:")
    print(columns {
        { "base", "what the software CPU has: the same on every host and backend; the default" },
        { "host", "everything that the accelerator can give on this host" },
        { "max", "the same as host" },
    })
    print("\nChanges follow: --cpu host,-avx512f,+x2apic or host,avx512f=off. What needs a feature goes")
    print("with it; what a feature needs comes with it. Names are those of /proc/cpuinfo or QEMU's.")
    print("\nfeatures that this host has, by accelerator (base: in model base, yes: in host and max):")
    local rows, elsewhere = { { "NAME", "OR", "SOFT", "KVM", "NEEDS" } }, {}
    for i, f in ipairs(soft) do
        local k = kvm and kvm[i]
        if f.offered or k and (k.offered or k.withheld) then
            rows[#rows + 1] = { f.name, f.other or "", cpu_cell(f), cpu_cell(k), f.needs or "" }
        else
            elsewhere[#elsewhere + 1] = f.name
        end
    end
    print(columns(rows))
    print("\n*: needs interrupt chips in the kernel: a machine with irqchip=kernel, as pc has, or split.")
    if not kvm then
        print("?: " .. problem)
    end
    print("\nfeatures that no accelerator gives here:")
    print_wrapped(elsewhere)
end

function M.doctor(report)
    return require("perilune.cli.doctor").run(report)
end

function M.chardev_help()
    local chardev = require "perilune.chardev"
    print("character backends:")
    for _, name in ipairs(util.sorted_keys(chardev.kinds)) do
        local kind, rows = chardev.kinds[name], {}
        for _, row in ipairs(kind) do
            rows[#rows + 1] = { "    " .. row[1], row[2], row[3] }
        end
        print(("  %s: %s"):format(name, kind.help))
        print(columns(rows))
    end
end

function M.device_help()
    local devices = require "perilune.device"
    local rows = {}
    for _, t in ipairs(core.types()) do
        if not t.abstract then
            rows[#rows + 1] = { t.name, t.bus and "on bus " .. t.bus or "", t.desc or "" }
        end
    end
    local found = devices.available()
    for _, name in ipairs(util.sorted_keys(found)) do
        local ok, def = pcall(devices.load_file, found[name])
        rows[#rows + 1] = { name, "in Lua", ok and def.spec.desc or ok and ""
            or "cannot be loaded: " .. tostring(def) }
    end
    print("devices:")
    print(columns(rows))
end

function M.trace_help()
    local trace = require "perilune.trace"
    local rows = {}
    for _, event in ipairs(trace.events()) do
        rows[#rows + 1] = { event.name, trace.signature(event), event.help }
    end
    print("events and their arguments:")
    print(columns(rows))
end

function M.device_props_help(name)
    local devices = require "perilune.device"
    local path = devices.available()[name]
    local t = path and core.type_info(devices.load_file(path)) or core.type_info(name)
    print(("device %s: %s"):format(t.name, t.desc or ""))
    local rows = {}
    for _, p in ipairs(t.properties) do
        local kind = p.names and table.concat(p.names, "|") or p.kind
        if p.min then
            kind = ("%s %d..%d"):format(kind, p.min, p.max)
        end
        local notes = {}
        if p.default then
            notes[#notes + 1] = "default " .. p.default
        end
        if p.required then
            notes[#notes + 1] = "required"
        end
        if p.live then
            notes[#notes + 1] = "live"
        end
        rows[#rows + 1] = { p.name, kind, table.concat(notes, ", "), p.help or "" }
    end
    print(columns(rows))
end

return M
