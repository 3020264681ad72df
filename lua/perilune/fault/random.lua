--- Random numbers of faults: a generator whose numbers are the same everywhere.
--
-- xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021),
-- its state filled by SplitMix64 (Steele, Lea and Flood, 2014) from a seed and the name of a
-- stream. Streams of one seed have nothing to do with each other, so that each fault has its own.
local M = {}

local Random = {}
Random.__index = Random

local function splitmix(x)
    x = x + 0x9e3779b97f4a7c15
    local z = x
    z = (z ~ z >> 30) * 0xbf58476d1ce4e5b9
    z = (z ~ z >> 27) * 0x94d049bb133111eb
    return x, z ~ z >> 31
end

--- 64 bits of a text: FNV-1a.
local function hash(text)
    local h = 0xcbf29ce484222325
    for i = 1, #text do
        h = (h ~ text:byte(i)) * 0x100000001b3
    end
    return h
end

--- The stream `stream` (an integer or text) of `seed` (an integer).
function M.new(seed, stream)
    local _, a = splitmix(seed)
    local _, b = splitmix(type(stream) == "string" and hash(stream) or stream)
    local x, s = a ~ (b << 1 | b >> 63), {}
    for i = 1, 4 do
        x, s[i] = splitmix(x)
    end
    return setmetatable(s, Random)
end

local function rotate(x, n)
    return x << n | x >> 64 - n
end

--- 64 random bits, as an integer.
function Random:next()
    local result = rotate(self[2] * 5, 7) * 9
    local t = self[2] << 17
    self[3] = self[3] ~ self[1]
    self[4] = self[4] ~ self[2]
    self[2] = self[2] ~ self[3]
    self[1] = self[1] ~ self[4]
    self[3] = self[3] ~ t
    self[4] = rotate(self[4], 45)
    return result
end

--- 0 to n - 1, each as likely as the others. n is from 1 to 2^53.
function Random:below(n)
    local limit = (1 << 53) - (1 << 53) % n
    local v
    repeat
        v = self:next() >> 11
    until v < limit
    return v % n
end

--- At least 0 and less than 1.
function Random:unit()
    return (self:next() >> 11) * 0x1p-53
end

--- Time to the next event of a Poisson process, in units of its mean.
function Random:exponential()
    return -math.log(1 - self:unit())
end

M.reference = { name = "fault_random", label = "random numbers", of = Random,
    help = "a stream of random numbers, the same for the same seed: fault.random()",
    methods = {
        { "next", "() → integer", "64 random bits" },
        { "below", "(n) → integer", "0 to n - 1; n is from 1 to 2^53" },
        { "unit", "() → number", "at least 0 and less than 1" },
        { "exponential", "() → number",
            "time to the next event of a Poisson process, in units of its mean" },
    } }

return M
