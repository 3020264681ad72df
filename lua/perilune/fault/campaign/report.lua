--- What a campaign has found: a table of outcomes, and a picture of them for each place.
local outcomes = require("perilune.fault.campaign.run").outcomes

local M = {}

--- How often each outcome was: { runs =, masked =, ... }; of lines for which wanted(line) is true.
local function count(lines, wanted)
    local n = { runs = 0 }
    for _, name in ipairs(outcomes) do
        n[name] = 0
    end
    for _, line in ipairs(lines) do
        if wanted(line) then
            n.runs = n.runs + 1
            n[line.outcome] = n[line.outcome] + 1
        end
    end
    return n
end

--- Wilson's 95 % confidence interval of k out of n, as two numbers from 0 to 1.
function M.interval(k, n)
    if n == 0 then
        return 0, 1
    end
    local z <const> = 1.959964
    local p, scale = k / n, 1 / (1 + z * z / n)
    local middle = scale * (p + z * z / (2 * n))
    local half = scale * z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return math.max(0, middle - half), math.min(1, middle + half)
end

local function cell(k, n)
    local low, high = M.interval(k, n)
    return ("%d: %.0f %% (%.0f-%.0f)"):format(k, n == 0 and 0 or 100 * k / n, 100 * low, 100 * high)
end

local function padded(rows)
    local widths = {}
    for _, row in ipairs(rows) do
        for i, text in ipairs(row) do
            widths[i] = math.max(widths[i] or 3, #text)
        end
    end
    for r, row in ipairs(rows) do
        for i, text in ipairs(row) do
            row[i] = text .. (" "):rep(widths[i] - #text)
        end
        rows[r] = "| " .. table.concat(row, " | ") .. " |"
    end
    local rule = {}
    for i, width in ipairs(widths) do
        rule[i] = ("-"):rep(width + 2)
    end
    table.insert(rows, 2, "|" .. table.concat(rule, "|") .. "|")
    return table.concat(rows, "\n")
end

--- Text: outcome × group, each with its share and the 95 % confidence interval of that.
function M.table(header, lines)
    local rows = { { "target", "runs", table.unpack(outcomes) } }
    local function add(name, wanted)
        local n = count(lines, wanted)
        local row = { name, tostring(n.runs) }
        for i, outcome in ipairs(outcomes) do
            row[i + 2] = cell(n[outcome], n.runs)
        end
        rows[#rows + 1] = row
    end
    for _, group in ipairs(header.golden.groups) do
        add(group.name, function(line)
            return line.group == group.name
        end)
    end
    add("all", function()
        return true
    end)
    return padded(rows)
end

-- ---- the picture ----

local colours = { masked = "#b8c4ce", detected = "#3b9c72", ["wrong output"] = "#e6a532",
    crash = "#c8452f", hang = "#6c4a9e" }

local WIDTH <const>, LEFT <const>, RIGHT <const>, TOP <const> = 860, 150, 40, 96
local ROW <const>, BAR <const>, HEADING <const>, BOTTOM <const> = 24, 16, 30, 56

local function escaped(text)
    return (text:gsub('[&<>"]', { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
        ['"'] = "&quot;" }))
end

local function text(x, y, what, more)
    return ('<text x="%g" y="%g"%s>%s</text>'):format(x, y, more and " " .. more or "", escaped(what))
end

local function rect(x, y, width, height, fill, title)
    return ('<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s">%s</rect>'):format(x, y,
        width, height, fill, title and "<title>" .. escaped(title) .. "</title>" or "")
end

local function legend()
    local out, x = {}, LEFT
    for _, outcome in ipairs(outcomes) do
        out[#out + 1] = rect(x, 60, 14, 14, colours[outcome])
        out[#out + 1] = text(x + 20, 72, outcome)
        x = x + 56 + 7 * #outcome
    end
    return table.concat(out, "\n")
end

--- Grid lines with numbers of runs, about six of them, from 0 to `most`.
local function axis(most, scale, bottom)
    local step = 1
    while most / step > 6 do
        step = step * (tostring(step):match("^2") and 5 or 2) // (tostring(step):match("^2") and 2 or 1)
    end
    local out = {}
    for n = 0, most, step do
        local x = LEFT + n * scale
        out[#out + 1] = ('<line x1="%.2f" y1="%d" x2="%.2f" y2="%d" stroke="%s"/>'):format(x, TOP - 6,
            x, bottom, n == 0 and "#444" or "#ddd")
        out[#out + 1] = text(x, bottom + 18, tostring(n), 'text-anchor="middle"')
    end
    out[#out + 1] = text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, "runs", 'text-anchor="middle"')
    return table.concat(out, "\n")
end

local function bar(name, n, y, scale)
    local out = { text(LEFT - 10, y + BAR - 3, name, 'text-anchor="end"') }
    local x = LEFT
    for _, outcome in ipairs(outcomes) do
        if n[outcome] > 0 then
            out[#out + 1] = rect(x, y, n[outcome] * scale, BAR, colours[outcome],
                ("%s: %d of %d %s"):format(name, n[outcome], n.runs, outcome))
            x = x + n[outcome] * scale
        end
    end
    return table.concat(out, "\n")
end

--- Rows of the picture: { heading = } or { name =, count = }; and the greatest number of runs.
local function rows_of(header, lines)
    local rows, most = {}, 1
    for _, group in ipairs(header.golden.groups) do
        rows[#rows + 1] = { heading = group.name }
        for _, place in ipairs(group.places) do
            local n = count(lines, function(line)
                return line.group == group.name and line.place == place
            end)
            most = math.max(most, n.runs)
            rows[#rows + 1] = { name = place, count = n }
        end
    end
    return rows, most
end

--- SVG: a bar for each place, as long as it has runs, of one colour for each outcome.
function M.svg(header, lines)
    local rows, most = rows_of(header, lines)
    local scale = (WIDTH - LEFT - RIGHT) / most
    local bars, y = {}, TOP
    for _, row in ipairs(rows) do
        if row.heading then
            bars[#bars + 1] = text(LEFT - 10, y + 19, row.heading,
                'text-anchor="end" font-weight="bold"')
            y = y + HEADING
        else
            bars[#bars + 1] = bar(row.name, row.count, y + (ROW - BAR) / 2, scale)
            y = y + ROW
        end
    end
    return table.concat({ '<?xml version="1.0" encoding="UTF-8"?>',
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
            .. 'font-family="sans-serif" font-size="13">'):format(WIDTH, y + BOTTOM, WIDTH, y + BOTTOM),
        rect(0, 0, WIDTH, y + BOTTOM, "#ffffff"),
        text(LEFT, 34, ("Campaign %s: outcomes of %d faults, seed %d"):format(header.campaign,
            #lines, header.seed), 'font-size="18"'),
        legend(), axis(most, scale, y), table.concat(bars, "\n"), "</svg>", "" }, "\n")
end

return M
