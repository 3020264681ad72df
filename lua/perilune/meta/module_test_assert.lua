---@meta perilune.test.assert
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---assertions of test files, there called assert; what is expected comes first
---@class perilune.modules.test.assert
---@field are perilune.modules.test.assert # the same: assert.are.equal
---@field is perilune.modules.test.assert # the same: assert.is.same
local M = {}

---both are the same
---@param expected any
---@param got any
---@param what? string
function M.equal(expected, got, what) end

---equal in all keys, however deep
---@param expected any
---@param got any
---@param what? string
function M.same(expected, got, what) end

---they differ
---@param unexpected any
---@param got any
---@param what? string
function M.not_equal(unexpected, got, what) end

---it is true itself
---@param got any
---@param what? string
function M.is_true(got, what) end

---it is false itself
---@param got any
---@param what? string
function M.is_false(got, what) end

---it is nil
---@param got any
---@param what? string
function M.is_nil(got, what) end

---it is anything but nil
---@param got any
---@param what? string
function M.is_not_nil(got, what) end

---the text matches a Lua pattern
---@param pattern string
---@param text string
function M.matches(pattern, text) end

---the text contains the words as they are
---@param words string
---@param text string
function M.contains(words, text) end

---they differ by no more
---@param expected number
---@param got number
---@param tolerance number
---@param what? string
function M.near(expected, got, tolerance, what) end

---f(...) raises an error whose text contains the words; returns the error
---@param words string
---@param f function
---@param ...? any
---@return any
function M.raises(words, f, ...) end

return M
