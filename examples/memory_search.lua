-- Where in a guest's memory a text is: all RAM, region by region.
-- Run it: perilune examples/memory_search.lua
--
--     000000000000100f ram+0x100f: find me
--     0000000000003000 ram+0x3000: find me
--
-- The guest has made a copy of it.
local guest = require "guest"

local CHUNK <const> = 1 << 20

--- Calls found(address, region's name, offset in it) for each place. Chunks overlap, so that what lies
-- across an end of one is found, once.
local function search(space, text, found)
    for _, range in ipairs(space:flat().ranges) do
        local at = range.kind == "ram" and range.start or range.last + 1
        while at <= range.last do
            local bytes = space:read_bytes(at, math.min(CHUNK + #text - 1, range.last - at + 1))
            local place = bytes:find(text, 1, true)
            while place do
                local address = at + place - 1
                found(address, range.name, range.offset + address - range.start)
                place = bytes:find(text, place + 1, true)
            end
            at = at + CHUNK
        end
    end
end

local vm = guest.bare("\xbe\x0f\x10\xbf\x00\x30" -- 1000 mov si, text; mov di, 0x3000
    .. "\xb9\x0e\x00\xf3\xa4"                    -- 1006 mov cx, 14; rep movsb
    .. "\xb0\x00\xe6\xf4"                        -- 100b mov al, 0; out 0xf4, al
    .. "find me if you")                         -- 100f text
vm:run()
search(vm.memory, "find me", function(address, name, offset)
    print(("%016x %s+%#x: %s"):format(address, name, offset, vm.memory:read_bytes(address, 7)))
end)
vm:close()
