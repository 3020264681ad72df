---@meta perilune.util
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---helpers
---@class perilune.modules.util
local M = {}

---raise an error that is shown without a traceback
---@param text string
---@param fields? table
function M.fail(text, fields) end

---text; did you mean "NEAR"? if one of the candidates is near
---@param text string
---@param name string
---@param candidates string[]
---@return string
function M.suggest(text, name, candidates) end

---the keys of a table, sorted
---@param table table
---@return any[]
function M.sorted_keys(table) end

---the chunk of a Lua file; modules beside it can be required
---@param path string
---@return function
function M.load_file(path) end

---is there a file, not a directory
---@param path string
---@return boolean
function M.file_exists(path) end

---names in a directory, sorted
---@param path string
---@return string[]
function M.list_dir(path) end

---"a,b=c" as the command line writes lists: what has no key, and what has
---@param text string
---@return string[]
---@return table<string, string[]>
function M.parse_list(text) end

---on, off, yes, no, true, false; nil for anything else
---@param text string
---@return boolean|nil
function M.parse_bool(text) end

return M
