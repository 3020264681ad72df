--- Assertions: each raises at the line that calls it and says what differed. Expected values come
-- first, as in busted. Plain Lua 5.4.
local M = {}

--- A value as a message shows it.
function M.show(v)
    if math.type(v) == "integer" then
        return ("%d (0x%x)"):format(v, v)
    end
    return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

--- What differs between two values, or nil.
function M.difference(expected, got, what)
    if got ~= expected then
        return ("%s is %s, expected %s"):format(what or "value", M.show(got), M.show(expected))
    end
end

--- The first place where two trees of tables differ, or nil.
function M.deep_difference(expected, got, what)
    if type(expected) ~= "table" or type(got) ~= "table" then
        return M.difference(expected, got, what)
    end
    what = what or "value"
    local keys, known = {}, {}
    for _, t in ipairs { expected, got } do
        for k in pairs(t) do
            if not known[k] then
                known[k] = true
                keys[#keys + 1] = k
            end
        end
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, k in ipairs(keys) do
        local problem = M.deep_difference(expected[k], got[k], ("%s[%s]"):format(what, M.show(k)))
        if problem then
            return problem
        end
    end
end

local function expect(holds, text, ...)
    if not holds then
        error(text:format(...), 3)
    end
end

function M.equal(expected, got, what)
    local problem = M.difference(expected, got, what)
    expect(not problem, "%s", problem)
end

--- Equal in all keys, however deep.
function M.same(expected, got, what)
    local problem = M.deep_difference(expected, got, what)
    expect(not problem, "%s", problem)
end

function M.not_equal(unexpected, got, what)
    expect(got ~= unexpected, "%s is %s, which it must not be", what or "value", M.show(got))
end

function M.is_true(got, what)
    expect(got == true, "%s is %s, expected true", what or "value", M.show(got))
end

function M.is_false(got, what)
    expect(got == false, "%s is %s, expected false", what or "value", M.show(got))
end

function M.is_nil(got, what)
    expect(got == nil, "%s is %s, expected nil", what or "value", M.show(got))
end

function M.is_not_nil(got, what)
    expect(got ~= nil, "%s is nil", what or "value")
end

--- The text matches a Lua pattern.
function M.matches(pattern, text)
    expect(type(text) == "string" and text:find(pattern), "%s does not match %q", M.show(text),
        pattern)
end

--- The text contains these words as they are.
function M.contains(words, text)
    expect(type(text) == "string" and text:find(words, 1, true), "%s does not contain %q",
        M.show(text), words)
end

function M.near(expected, got, tolerance, what)
    expect(type(got) == "number" and math.abs(got - expected) <= tolerance,
        "%s is %s, expected %s within %s", what or "value", M.show(got), M.show(expected),
        tostring(tolerance))
end

--- f(...) raises an error whose text contains `words`. Returns the error.
function M.raises(words, f, ...)
    local ok, problem = pcall(f, ...)
    expect(not ok, "no error, expected one with: %s", words)
    expect(tostring(problem):find(words, 1, true), "error %q does not contain %q",
        tostring(problem), words)
    return problem
end

-- assert.are.equal and assert.is.same read as sentences.
M.are, M.is = M, M

M.reference = { { name = "perilune.test.assert", label = "module", of = M,
    help = "assertions of test files, there called assert; what is expected comes first",
    internal = { "show", "difference", "deep_difference" },
    functions = {
        { "equal", "(expected: value, got: value [, what])", "both are the same" },
        { "same", "(expected: value, got: value [, what])", "equal in all keys, however deep" },
        { "not_equal", "(unexpected: value, got: value [, what])", "they differ" },
        { "is_true", "(got: value [, what])", "it is true itself" },
        { "is_false", "(got: value [, what])", "it is false itself" },
        { "is_nil", "(got: value [, what])", "it is nil" },
        { "is_not_nil", "(got: value [, what])", "it is anything but nil" },
        { "matches", "(pattern, text)", "the text matches a Lua pattern" },
        { "contains", "(words: string, text)", "the text contains the words as they are" },
        { "near", "(expected: number, got: number, tolerance: number [, what])",
            "they differ by no more" },
        { "raises", "(words: string, f, ...) → value",
            "f(...) raises an error whose text contains the words; returns the error" },
    },
    properties = {
        { "are", "perilune.test.assert", "the same: assert.are.equal" },
        { "is", "perilune.test.assert", "the same: assert.is.same" },
    } } }

return setmetatable(M, {
    __call = function(_, holds, message, ...)
        if not holds then
            error(message == nil and "assertion failed!" or message, 2)
        end
        return holds, message, ...
    end,
})
