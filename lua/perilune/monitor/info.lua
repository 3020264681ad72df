--- Listings of memory and devices: `info mtree`, `info mtree -f`, `info qtree`.
--
-- Each returns text in the layout that people know from such listings; the data comes from the
-- objects.
local M = {}

local function address(n)
    return ("%016x"):format(n)
end

-- ---- mtree ----

--- Children in the order of listing: by address, then by priority downwards.
local function sorted_children(region)
    local children = {}
    for i, child in ipairs(region:children()) do
        children[i] = { region = child, order = i }
    end
    table.sort(children, function(a, b)
        local x, y = a.region, b.region
        if x.addr ~= y.addr then
            return math.ult(x.addr, y.addr)
        elseif x.priority ~= y.priority then
            return x.priority > y.priority
        end
        return a.order < b.order
    end)
    return children
end

--- Targets of aliases are listed once more on their own, in the order of being met.
local function note_target(targets, region)
    if not targets[region] then
        targets[region] = true
        targets[#targets + 1] = region
    end
end

local function print_region(out, region, base, depth, targets)
    if not region.enabled then
        return
    end
    local start = base + region.addr
    local line = ("%s%s-%s (prio %d, %s): "):format(("  "):rep(depth), address(start),
        address(start + region.last), region.priority, region.kind)
    local target = region.target
    if target then
        note_target(targets, target)
        local offset = region.target_offset
        out[#out + 1] = line .. ("alias %s @%s %s-%s"):format(region.name, target.name,
            address(offset),
            address(offset + region.last))
    else
        out[#out + 1] = line .. region.name
        for _, child in ipairs(sorted_children(region)) do
            print_region(out, child.region, start, depth + 1, targets)
        end
    end
end

--- The graph of regions, as it was built.
function M.mtree(vm)
    local out, targets = {}, {}
    for _, space in ipairs(vm:spaces()) do
        out[#out + 1] = "address-space: " .. space.name
        if space.root then
            print_region(out, space.root, 0, 1, targets)
        end
        out[#out + 1] = ""
    end
    local i = 1
    while targets[i] do
        out[#out + 1] = "memory-region: " .. targets[i].name
        print_region(out, targets[i], 0, 1, targets)
        out[#out + 1] = ""
        i = i + 1
    end
    return table.concat(out, "\n")
end

-- ---- mtree -f ----

local function print_view(out, number, view)
    out[#out + 1] = ("FlatView #%d"):format(number)
    for _, space in ipairs(view.spaces) do
        out[#out + 1] = (' AS "%s", root: %s'):format(space.name, space.root and space.root.name
            or "(none)")
    end
    local shown = view.flat.ranges
    out[#out + 1] = " Root memory region: " .. (#shown > 0 and view.flat.root
        and view.flat.root.name or "(none)")
    for _, r in ipairs(shown) do
        local offset = r.offset ~= 0 and " @" .. address(r.offset) or ""
        out[#out + 1] = ("  %s-%s (prio %d, %s): %s%s"):format(address(r.start), address(r.last),
            r.priority,
            r.kind, r.name, offset)
    end
    if #shown == 0 then
        out[#out + 1] = "  No rendered FlatView"
    end
    out[#out + 1] = ""
end

--- What each address leads to. Address spaces that see the same share one view; those that see
-- nothing are one.
function M.flat(vm)
    local views, by_id = {}, {}
    for _, space in ipairs(vm:spaces()) do
        local flat = space:flat()
        local id = #flat.ranges == 0 and "nothing" or flat.id
        local view = by_id[id]
        if not view then
            view = { flat = flat, spaces = {} }
            by_id[id] = view
            views[#views + 1] = view
        end
        table.insert(view.spaces, space)
    end
    local out = {}
    for i, view in ipairs(views) do
        print_view(out, i - 1, view)
    end
    return table.concat(out, "\n")
end

-- ---- qtree ----

--- Names of PCI classes: PCI Code and ID Assignment Specification.
local pci_classes = {
    [0x0101] = "IDE controller",
    [0x0200] = "Ethernet controller",
    [0x0300] = "VGA controller",
    [0x0600] = "Host bridge",
    [0x0601] = "ISA bridge",
    [0x0680] = "Bridge",
}

function M.pci_class(class)
    return pci_classes[class] or ("Class %04x"):format(class)
end

local function pci_lines(put, pci)
    put(("class %s, addr 00:%02x.%x, pci id %04x:%04x (sub %04x:%04x)"):format(
        M.pci_class(pci.class), pci.slot, pci.fn,
        pci.vendor, pci.device, pci.subsystem_vendor, pci.subsystem))
    for _, bar in ipairs(pci.bars) do
        put(("bar %d: %s at 0x%x [0x%x]"):format(bar.index, bar.kind, bar.addr,
            bar.addr + bar.size - 1))
    end
end

local function bus_lines(put, info)
    for _, window in ipairs(info.mmio or {}) do
        put(("mmio %s/%s"):format(address(window.addr), address(window.last + 1)))
    end
    if info.pci then
        pci_lines(put, info.pci)
    end
    local irqs = info.isa_irqs or {}
    if #irqs > 0 then
        put(("isa irq%s %s"):format(#irqs > 1 and "s" or "", table.concat(irqs, ",")))
    end
end

local print_bus

local function print_device(out, device, depth)
    local indent = ("  "):rep(depth)
    local function put(text)
        out[#out + 1] = indent .. "  " .. text
    end
    out[#out + 1] = ('%sdev: %s, id "%s"'):format(indent, device.type, device.id or "")
    for _, line in ipairs(device:lines()) do
        put(('gpio-%s "%s" %d'):format(line.direction, line.name, line.count))
    end
    for _, prop in ipairs(device:properties()) do
        put(prop.name .. " = " .. prop.text)
    end
    bus_lines(put, device:info())
    local buses = device.buses
    for i = #buses, 1, -1 do
        print_bus(out, buses[i], depth + 1)
    end
end

--- Newest first, as people know it.
function print_bus(out, bus, depth)
    local indent = ("  "):rep(depth)
    out[#out + 1] = indent .. "bus: " .. bus.name
    out[#out + 1] = indent .. "  type " .. bus.type
    local devices = bus.devices
    for i = #devices, 1, -1 do
        print_device(out, devices[i], depth + 1)
    end
end

--- Devices with their properties, by bus.
function M.qtree(vm)
    local out = {}
    print_bus(out, vm.main_bus, 0)
    out[#out + 1] = ""
    return table.concat(out, "\n")
end

return M
