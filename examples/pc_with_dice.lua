-- Machine pc with one more device of one's own: a port that is a die. It is a machine like others:
-- perilune --machine examples/pc_with_dice.lua --dump qtree, or with --kernel and so on.
-- Run it: perilune -e 'v = perilune.machine "examples/pc_with_dice.lua"; for _=1,5 do print(v.io:read(0x510, 1)) end'
--
--     6
--     3
--     5
--     2
--     4
--
-- Nothing random comes from the host: the same property `seed` gives the same rolls.
local fault = require "perilune.fault"

local dice = device.define {
    name = "dice",
    parent = "isa-device",
    desc = "a read rolls it",
    props = { sides = { "u32", 6, min = 2, max = 256, live = true, help = "of the die" },
        seed = { "u64", 0, help = "of what it rolls" } },
    pio = { name = "dice", port = 0x510, size = 1, read = function(dev)
        return 1 + dev.random:below(dev.props.sides)
    end },
    reset = function(dev)
        dev.random = fault.random(dev.props.seed, "dice")
    end,
}

return machine.define {
    name = "pc_with_dice",
    desc = "a PC that throws dice",
    extends = "pc",
    props = { sides = { "int", 6, min = 2, max = 256, help = "of the die" } },
    build = function(m, p, super)
        super()
        m:device(dice, { sides = p.sides, seed = p.seed })
    end,
}
