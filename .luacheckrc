std = "lua54"
max_line_length = 120
-- Annotations declare and use nothing.
exclude_files = { "lua/perilune/meta" }
-- What the program gives to scripts and machine definitions.
read_globals = { "perilune", "machine", "device", "vm" }
files["lua/perilune/cli.lua"] = { globals = { "perilune", "machine", "vm", "arg" } }
files["lua/perilune/init.lua"] = { globals = { "device" } }
-- Files for `perilune test`.
for _, path in ipairs { "tests/lua/task_test.lua", "tests/lua/testing", "examples/linux_test.lua" } do
    files[path] = { std = "lua54+busted", read_globals = { "skip" } }
end
