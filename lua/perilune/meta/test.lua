---@meta
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---a group of tests
---@param name string
---@param f function
function describe(name, f) end

---a test; machines made in it are closed after it
---@param name string
---@param f function
function it(name, f) end

---a test that is not run, and shown as skipped
---@param name string
---@param f? function
function pending(name, f) end

---once before the tests of the group
---@param f function
function setup(f) end

---once after them
---@param f function
function teardown(f) end

---before each test of the group and of those in it
---@param f function
function before_each(f) end

---after each, however it went
---@param f function
function after_each(f) end

---in a test: end it, shown as skipped
---@param reason? string
function skip(reason) end
