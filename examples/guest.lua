--- What the examples share: the guests that they look at.
local M = {}

local cache = os.getenv("PERILUNE_CACHE")
    or (os.getenv("XDG_CACHE_HOME") or os.getenv("HOME") .. "/.cache") .. "/perilune"

--- Debian's kernel with busybox, on machine pc. `append` is added to its command line; options are
-- the machine's properties. Without the kernel the script ends and says how to get it.
function M.linux(append, options)
    local properties = { memory = "256M", kernel = cache .. "/vmlinuz", idle = "warp", reboot = false,
        initrd = os.getenv("PERILUNE_INITRD") or cache .. "/initrd.gz",
        append = "console=ttyS0 panic=-1 " .. append }
    for key, value in pairs(options or {}) do
        properties[key] = value
    end
    for _, path in ipairs { properties.kernel, properties.initrd } do
        local file = io.open(path)
        if not file then
            print(("SKIPPED: no %s; scripts/fetch-guest and scripts/make-initramfs get it"):format(path))
            os.exit(0)
        end
        file:close()
    end
    return perilune.machine("pc", properties)
end

--- 16-bit code at 0x1000 of a machine, where the cpu starts; all segments begin at 0.
function M.bare(code, name)
    local vm = perilune.machine(name or "minimal", { memory = "8M", idle = "warp", serial = "ring" })
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, code)
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    return vm
end

return M
