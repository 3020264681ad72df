---@meta perilune.json
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---JSON with 64-bit integers
---@class perilune.modules.json
local M = {}

---JSON of a value
---@param value any
---@return string
function M.encode(value) end

---the value of JSON
---@param text string
---@return any
function M.decode(text) end

---mark a table as an array, also when it is empty
---@param table? table
---@return table
function M.array(table) end

return M
