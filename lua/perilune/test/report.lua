--- How results are told: lines for people, JUnit's XML for machines.
local M = {}

-- ---- lines ----

local words = { passed = "ok  ", failed = "FAIL", skipped = "skip" }

local function indent(text)
    return "          " .. text:gsub("\n", "\n          ")
end

--- One line for a test, more for one that has failed.
function M.line(result)
    local out = { ("  %s %7.2f s  %s"):format(words[result.status], result.time_s, result.name) }
    if result.status == "skipped" and result.why ~= "" then
        out[1] = out[1] .. ": " .. result.why
    elseif result.status == "failed" then
        if result.node.file and not result.message:find(result.node.file, 1, true) then
            out[#out + 1] = indent(("%s:%d:"):format(result.node.file, result.node.line))
        end
        out[#out + 1] = indent(result.message)
        if result.traceback then
            out[#out + 1] = indent("  " .. result.traceback:gsub("\n", "\n  "))
        end
        for _, part in ipairs(result.serial or {}) do
            if not result.message:find(part.lines[#part.lines], 1, true) then
                out[#out + 1] = indent(("the last on %s:\n  %s"):format(part.name,
                    table.concat(part.lines, "\n  ")))
            end
        end
        for _, path in ipairs(result.logs or {}) do
            out[#out + 1] = indent("log: " .. path)
        end
    end
    return table.concat(out, "\n")
end

function M.summary(runner, seconds)
    return ("%d passed, %d failed, %d skipped in %.2f s"):format(runner.passed, runner.failed,
        runner.skipped, seconds)
end

-- ---- XML ----

--- Text as XML 1.0 can hold it: what is no UTF-8 is Latin-1, control characters are question marks.
local function escape(text)
    if not utf8.len(text) then
        text = text:gsub("[\128-\255]", function(c) return utf8.char(c:byte()) end)
    end
    return (text:gsub("[%z\1-\8\11\12\14-\31\127]", "?"):gsub("\u{FFFE}", "?"):gsub("\u{FFFF}", "?")
        :gsub("[&<>\"\n\r\t]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
            ['"'] = "&quot;", ["\n"] = "&#10;", ["\r"] = "&#13;", ["\t"] = "&#9;" }))
end

local function attributes(list)
    local out = {}
    for _, pair in ipairs(list) do
        if pair[2] ~= nil then
            out[#out + 1] = (' %s="%s"'):format(pair[1], escape(tostring(pair[2])))
        end
    end
    return table.concat(out)
end

local function case(result, file)
    local node = result.node
    local out = { ("    <testcase%s>"):format(attributes {
        { "classname", file }, { "name", result.name }, { "file", node.file },
        { "line", node.line }, { "time", ("%.3f"):format(result.time_s) } }) }
    if result.status == "skipped" then
        out[#out + 1] = ("      <skipped%s/>"):format(attributes { { "message", result.why } })
    elseif result.status == "failed" then
        out[#out + 1] = ("      <failure%s>%s</failure>"):format(attributes {
            { "message", result.message:match("[^\n]*") } },
            escape(result.message .. "\n" .. (result.traceback or "")))
        for _, part in ipairs(result.serial or {}) do
            out[#out + 1] = ("      <system-out>%s</system-out>"):format(escape(part.name .. "\n"
                .. table.concat(part.lines, "\n")))
        end
    end
    out[#out + 1] = "    </testcase>"
    return table.concat(out, "\n")
end

--- JUnit's XML of { { file =, results = {} }, ... }.
function M.junit(files)
    local out = { '<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>" }
    for _, f in ipairs(files) do
        local counts = { passed = 0, failed = 0, skipped = 0 }
        local time, cases = 0, {}
        for i, result in ipairs(f.results) do
            counts[result.status] = counts[result.status] + 1
            time = time + result.time_s
            cases[i] = case(result, f.file)
        end
        out[#out + 1] = ("  <testsuite%s>"):format(attributes {
            { "name", f.file }, { "tests", #f.results }, { "failures", counts.failed },
            { "errors", 0 }, { "skipped", counts.skipped }, { "time", ("%.3f"):format(time) } })
        table.move(cases, 1, #cases, #out + 1, out)
        out[#out + 1] = "  </testsuite>"
    end
    out[#out + 1] = "</testsuites>\n"
    return table.concat(out, "\n")
end

return M
