-- A script at the serial console, straight down the page, and a task beside it that counts.
-- Run it: perilune examples/serial_console.lua
--
--     > first
--     > second
--     > q
--     the guest has shown 3 prompts
--
-- The guest writes ">", repeats what it is told, and ends at a "q".
local guest = require "guest"

local vm = guest.bare("\xbb\xf8\x03"     -- 1000 mov bx, 0x3f8
    .. "\xb0>\xe8\x10\x00"               -- 1003 prompt: write ">"
    .. "\xe8\x11\x00\xe8\x0a\x00"        -- 1008 next: read a byte; write it
    .. "\x3cq\x74\x16\x3c\n\x75\xf2\xeb\xeb" -- 100e "q"? done. "\n"? prompt, else next
    .. "\x89\xda\xee\xc3"                -- 1018 write: mov dx, bx; out dx, al; ret
    .. "\x8d\x57\x05\xec\xa8\x01\x74\xfb" -- 101c read: wait for bit 0 of the line status
    .. "\x89\xda\xec\xc3"                -- 1024 mov dx, bx; in al, dx; ret
    .. "\xb0\x00\xe6\xf4")               -- 1028 done: mov al, 0; out 0xf4, al

local prompts = 0
vm:task(function()
    while true do
        vm:wait_serial(">")
        prompts = prompts + 1
    end
end, { name = "counts prompts" })

for _, line in ipairs { "first\n", "second\n" } do
    vm:wait_serial(">", "1s")
    vm:send(line)
    print("> " .. vm:wait_serial("\n", "1s"):match("%w+"))
end
vm:wait_serial(">", "1s")
vm:send("q")
vm:run()
print "> q"
print(("the guest has shown %d prompts"):format(prompts))
vm:close()
