---@meta perilune.monitor.remote
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---monitors on sockets and character backends
---@class perilune.modules.monitor.remote
local M = {}

---listen at "unix:PATH" or "tcp:127.0.0.1:PORT"; close() of the result ends it
---@param address string
---@return table
function M.listen(address) end

---serve the monitor on a character backend
---@param chardev perilune.chardev
function M.attach(chardev) end

return M
