-- The listings of machine "pc" beside those of the reference: every region and device that both
-- have carries the same name, priority, kind and place. What the reference has and we have not yet
-- is printed by name.
local check = require "check"
local info = require "perilune.monitor.info"
local util = require "perilune.util"

local case, equal = check.case, check.equal
local data_dir = os.getenv("PERILUNE_TOP") .. "/tests/data/reference/"

local function reference(name)
    local file = assert(io.open(data_dir .. name))
    local text = file:read("a")
    file:close()
    return text
end

local function lines(text)
    return text:gmatch("([^\r\n]*)\r?\n?")
end

--- The reference ran with chips inside of the kernel: theirs are ours.
local function plain_name(name)
    return (name:gsub("^kvm%-", ""):gsub("%s*//.*$", ""):gsub("%s+KVM$", ""))
end

-- ---- mtree ----

--- { space name = { { depth, range, prio, kind, name }, ... } }
local function parse_mtree(text)
    local spaces, current = {}, nil
    for line in lines(text) do
        local space = line:match("^address%-space: (.+)$")
        local spaces_before, first, last, prio, kind, name =
            line:match("^(%s+)(%x+)%-(%x+) %(prio (%-?%d+), ([%w/]+)%): (.+)$")
        if space then
            current = {}
            spaces[space] = current
        elseif line:match("^memory%-region:") then
            current = nil
        elseif first and current then
            table.insert(current, { depth = #spaces_before // 2, range = first .. "-" .. last,
                prio = math.tointeger(prio), kind = kind, name = plain_name(name) })
        end
    end
    return spaces
end

--- Name of the row that holds row `i`.
local function parent_name(rows, i)
    for j = i - 1, 1, -1 do
        if rows[j].depth < rows[i].depth then
            return rows[j].name
        end
    end
    return ""
end

--- Regions whose place is set by what the guest or its firmware does; only the place may differ.
local function moves(name)
    return name:match("^alias pam%-") or name:match("^e1000") or name:match("^alias ram%-below")
        or name:match("^alias ram%-above")
end

--- Ours that the reference's machine does not have.
local ours_alone = { ["isa-debug-exit"] = true, ["smram-hidden"] = true }

-- The reference has 8 GiB; a machine may not have more RAM than its host.
local host_memory = math.tointeger(require("luv").get_total_memory())
local like_reference = host_memory >= 8 << 30
if not like_reference then
    print("not compared, because this host has less than 8 GiB: sizes of RAM")
end

local vm = perilune.machine("pc", { memory = like_reference and "8G" or "512M", nic = "user" })
local ours_text = info.mtree(vm)
local ours, theirs = parse_mtree(ours_text), parse_mtree(reference("pc-mtree.txt"))

local function find_row(rows, row, i, of)
    for j, other in ipairs(rows) do
        local same_name = other.name == row.name
            or moves(row.name) and other.name:match("^alias %S+") == row.name:match("^alias %S+")
            and row.name:match("^alias") ~= nil
        if same_name and (moves(row.name) or other.range == row.range)
            and parent_name(rows, j) == parent_name(of, i) then
            return other
        end
    end
end

for _, space in ipairs { "memory", "I/O" } do
    check.case("regions of " .. space, function()
        local compared = 0
        for i, row in ipairs(ours[space]) do
            if not ours_alone[row.name] then
                local other = find_row(theirs[space], row, i, ours[space])
                if not other and row.name:match("^alias pam%-ram") then
                    other = { prio = 1,
                        kind = "ram" } -- the reference has some of these write-protected
                end
                if not other then
                    error(("%s (%s) in %q is not in the reference"):format(row.name, row.range,
                        parent_name(ours[space], i)))
                end
                equal(row.prio, other.prio, "priority of " .. row.name)
                equal(row.kind, other.kind, "kind of " .. row.name)
                compared = compared + 1
            end
        end
        equal(compared > 10, true, "compared " .. compared)
    end)
end

check.case("RAM below and above 4 GiB", function()
    if not like_reference then
        return
    end
    local expected = { "alias ram-below-4g @pc.ram 0000000000000000-00000000bfffffff",
        "alias ram-above-4g @pc.ram 00000000c0000000-00000001ffffffff" }
    for _, name in ipairs(expected) do
        equal(ours_text:find(name, 1, true) ~= nil, true, name)
        equal(reference("pc-mtree.txt"):find(name, 1, true) ~= nil, true, name
            .. " in the reference")
    end
end)

check.case("address spaces of PCI functions", function()
    for _, name in ipairs { "i440FX", "PIIX3", "e1000" } do
        equal(theirs[name] ~= nil, true, name .. " in the reference")
        equal(ours[name] ~= nil, true, name)
        equal(ours[name][1].name, theirs[name][1].name, "root of " .. name)
    end
end)

check.case("order of siblings is by address", function()
    for _, space in pairs(ours) do
        local last = {}
        for _, row in ipairs(space) do
            local first = math.tointeger(tonumber(row.range:match("^%x+"), 16)) or 0
            local before = last[row.depth]
            equal(before == nil or not math.ult(first, before), true, row.name
                .. " after its neighbour")
            last[row.depth] = first
            last[row.depth + 1] = nil
        end
    end
end)

local missing = {}
for _, space in ipairs { "memory", "I/O" } do
    local have = {}
    for _, row in ipairs(ours[space]) do
        have[row.name] = true
    end
    for _, row in ipairs(theirs[space]) do
        local name = row.name:match("^alias (%S+)") or row.name
        if not have[row.name] and not missing[name] and not moves(row.name) then
            missing[name] = true
            missing[#missing + 1] = name
        end
    end
end
print("regions of the reference that are not there yet: " .. table.concat(missing, ", "))

-- ---- mtree -f ----

check.case("flat views", function()
    local text = info.flat(vm)
    for line in lines(text) do
        local known = line == "" or line:match("^FlatView #%d+$")
            or line:match('^ AS "[^"]+", root: .+$')
            or line:match("^ Root memory region: .+$") or line == "  No rendered FlatView"
            or line:match("^  %x+%-%x+ %(prio %-?%d+, [%w/]+%): [^@]+$")
            or line:match("^  %x+%-%x+ %(prio %-?%d+, [%w/]+%): [^@]+ @%x+$")
        equal(known ~= nil and known ~= false, true, "form of " .. line)
    end
    -- Lines of the reference that must be here as they are, but for the mark of where RAM is kept.
    local theirs_flat = reference("pc-mtree-flat.txt"):gsub(" KVM", ""):gsub("kvm%-", "")
    local same = {
        "  0000000100000000-000000023fffffff (prio 0, ram): pc.ram @00000000c0000000",
        "  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic",
        "  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi",
        "  0000000000000cfa-0000000000000cfb (prio 0, i/o): pci-conf-idx @0000000000000002",
        "  0000000000000cf9-0000000000000cf9 (prio 1, i/o): piix3-reset-control",
        "  0000000000000606-0000000000000607 (prio 0, i/o): io @0000000000000606",
    }
    if not like_reference then
        table.remove(same, 1)
    end
    for _, line in ipairs(same) do
        equal(theirs_flat:find(line, 1, true) ~= nil, true, "in the reference: " .. line)
        equal(text:find(line, 1, true) ~= nil, true, "in ours: " .. line)
    end
    equal(text:find(' AS "memory", root: system\n', 1, true) ~= nil, true, "the memory space")
end)

--- { space name = { { range, text, name }, ... } }: the ranges of the view that a space has, without
-- the mark of where RAM is kept.
local function parse_flat(text)
    local spaces, rows = {}, {}
    for line in lines(text) do
        local space = line:match('^ AS "([^"]+)"')
        local range, rest = line:match("^  (%x+%-%x+) (%(prio .*)$")
        if line:match("^FlatView") then
            rows = {}
        elseif space then
            spaces[space] = rows
        elseif range then
            rest = rest:gsub(" KVM$", ""):gsub("kvm%-", "")
            rows[#rows + 1] = { range = range, text = rest, name = rest:match("%): ([^@]+)"):gsub(" $", "") }
        end
    end
    return spaces
end

--- What fills the space between ports, and RAM, whose pieces depend on its size and on the PAM registers.
local function fills(name)
    return name == "io" or name == "pc.ram"
end

local our_flat, their_flat = parse_flat(info.flat(vm)), parse_flat(reference("pc-mtree-flat.txt"))

for _, space in ipairs { "memory", "I/O" } do
    case("the flat view of " .. space, function()
        local known, compared = {}, 0
        for _, row in ipairs(their_flat[space]) do
            known[row.range] = row.text
        end
        for _, row in ipairs(our_flat[space]) do
            if not fills(row.name) and not ours_alone[row.name] then
                equal(known[row.range] and row.range .. " " .. known[row.range] or "nothing there",
                    row.range .. " " .. row.text, "the reference's " .. row.name)
                compared = compared + 1
            end
        end
        equal(compared >= (space == "memory" and 3 or 15), true, "compared " .. compared)
        local have, absent = {}, {}
        for _, row in ipairs(our_flat[space]) do
            have[row.name] = true
        end
        for _, row in ipairs(their_flat[space]) do
            if not have[row.name] then
                have[row.name] = true
                absent[#absent + 1] = row.name
            end
        end
        print(("in the flat view of %s, not there yet: %s"):format(space, table.concat(absent, ", ")))
    end)
end

-- ---- qtree ----

--- { { depth, type, bus, properties = { name = text }, order } ... } in order.
local function parse_qtree(text)
    local devices, buses, current, at = {}, {}, nil, {}
    for line in lines(text) do
        local indent, bus = line:match("^(%s*)bus: (%S+)")
        local device = line:match("^%s*dev: ([^,]+),")
        if bus then
            buses[#indent] = { name = bus, of = at[#indent - 2] or "" }
            current = nil
        elseif device then
            local depth = #line:match("^%s*")
            current = { type = plain_name(device), bus = buses[depth - 2].name,
                provider = buses[depth - 2].of, properties = {} }
            at[depth] = current.type
            devices[#devices + 1] = current
        elseif current then
            local name, value = line:match("^%s*([%w_.-]+) = (.*)$")
            if name then
                current.properties[name] = value
            end
        end
    end
    return devices
end

local renamed = { pit = "isa-pit", i8259 = "isa-i8259" }

check.case("devices", function()
    local devices = parse_qtree(reference("pc-qtree.txt"))
    for _, d in ipairs(devices) do
        d.type = renamed[d.type] or d.type
    end
    local used, compared, lacking = {}, 0, {}
    for _, d in ipairs(parse_qtree(info.qtree(vm))) do
        local match
        for j, other in ipairs(devices) do
            if not used[j] and other.type == d.type
                and other.properties.iobase == d.properties.iobase then
                match = other
                used[j] = true
                break
            end
        end
        if match then
            equal(d.bus, match.bus, "bus of " .. d.type)
            equal(d.provider, match.provider, "what provides the bus of " .. d.type)
            compared = compared + 1
            for name, value in pairs(d.properties) do
                local expected = match.properties[name]
                local free = name == "netdev" or name == "chardev" or name == "mac"
                if expected and not free then
                    equal(value, expected, d.type .. "." .. name)
                end
            end
            for _, name in ipairs(util.sorted_keys(match.properties)) do
                lacking[#lacking + 1] = not d.properties[name] and d.type .. "." .. name or nil
            end
        else
            equal(d.type == "isa-debug-exit" or d.type == "ioport80", true, d.type
                .. " is not in the reference")
        end
    end
    equal(compared >= 12, true, "compared " .. compared)
    local absent = {}
    for j, d in ipairs(devices) do
        if not used[j] then
            absent[#absent + 1] = d.type
        end
    end
    print("devices of the reference that are not there yet: " .. table.concat(absent, ", "))
    print("their properties that ours do not have: " .. table.concat(lacking, ", "))
end)

check.case("PCI lines", function()
    local text = info.qtree(vm)
    for _, line in ipairs { "class Host bridge, addr 00:00.0, pci id 8086:1237 (sub 1af4:1100)",
        "class ISA bridge, addr 00:01.0, pci id 8086:7000 (sub 1af4:1100)",
        "class Bridge, addr 00:01.3, pci id 8086:7113 (sub 1af4:1100)",
        "class Ethernet controller, addr 00:03.0, pci id 8086:100e (sub 1af4:1100)",
        "bar 0: mem at 0xfebc0000 [0xfebdffff]", "bar 1: i/o at 0xc000 [0xc03f]",
            "isa irqs 1,12" } do
        equal(reference("pc-qtree.txt"):find(line, 1, true) ~= nil, true, "in the reference: "
            .. line)
        equal(text:find(line, 1, true) ~= nil, true, line)
    end
end)

vm:close()
check.finish()
