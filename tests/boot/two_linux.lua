-- Two Linux guests on a wire ping each other: KERNEL INITRD LATENCY PARALLEL DUMP. Prints what the
-- guests say, and then what makes two runs comparable.
local kernel, initrd, latency, parallel, dump = table.unpack(arg)

local function node(n, more)
    local said = {}
    local vm = perilune.machine("pc", {
        kernel = kernel,
        initrd = initrd,
        memory = "160M",
        serial = "ring",
        idle = "warp",
        reboot = false,
        nic = ("wire,mac=52:54:00:00:00:0%d%s"):format(n, more or ""),
        append = ("console=ttyS0 panic=-1 perilune.test=ping perilune.ip=10.1.1.%d perilune.peer=10.1.1.%d")
            :format(n, 3 - n),
    })
    vm:chardevs()[1]:on_output(function(text)
        said[#said + 1] = text
    end)
    return vm, said
end

local a, said_a = node(1)
local b, said_b = node(2, ",dump=" .. dump)
local lab = perilune.cluster { a, b, latency = latency, parallel = parallel == "parallel" }
local link = lab:link(a, b)
lab:run("200s")
for i, said in ipairs { said_a, said_b } do
    for line in table.concat(said):gmatch("PERILUNE: [^\r\n]*") do
        print(i, line)
    end
end
print("state", lab.state, lab.pause_reason, lab.exit_status)
print("link", link:stats().frames, link:stats().bytes, link:stats().dropped)
for i, vm in ipairs(lab.members) do
    print("run", i, vm.exit_reason, vm.instructions, vm.clock.virtual.now, vm:ram_sha256())
end
