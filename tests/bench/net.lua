-- For the bench "net": how many instructions the guest has executed when it prints one of its marks.
local MARKS <const> = 6 -- begin and end of three transfers

vm:task(function()
    for _ = 1, MARKS do
        local _, mark = vm:wait_serial("PERILUNE: mark ([%w%-]+)\r", nil, { pattern = true })
        io.stderr:write(("\ncount %s %d\n"):format(mark, vm.instructions))
    end
end)
