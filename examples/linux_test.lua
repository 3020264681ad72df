-- Debian's kernel with busybox, tested straight down the page: a shell, a command, its answer, power off.
-- Run it: scripts/fetch-guest && scripts/make-initramfs && perilune test examples/linux_test.lua
local cache = os.getenv("PERILUNE_CACHE")
    or (os.getenv("XDG_CACHE_HOME") or os.getenv("HOME") .. "/.cache") .. "/perilune"
local initrd = os.getenv("PERILUNE_INITRD") or cache .. "/initrd.gz"

local function exists(path)
    local file = io.open(path)
    return file and file:close()
end

describe("Linux", function()
    it("boots to a shell that answers, and powers off", function()
        if not exists(cache .. "/vmlinuz") or not exists(initrd) then
            skip("there is no guest; scripts/fetch-guest and scripts/make-initramfs get one")
        end
        local vm = machine { "pc", memory = "256M", kernel = cache .. "/vmlinuz", initrd = initrd,
            append = "console=ttyS0 panic=-1", idle = "warp", reboot = false }
        vm:wait_serial("/root # ", "60s")
        vm:send("echo value=$((6 * 7))\n")
        local _, value = vm:wait_serial("value=(%d+)\r", "10s", { pattern = true })
        assert.equal("42", value)
        vm:wait_serial("/root # ", "10s")
        vm:send("exit\n")
        assert.same({ "exit", "poweroff" }, { vm:wait_stop("30s") })
    end)
end)
