-- Windows with one count of which the next has what was left. They are aligned to the period, or by a calendar.
-- rule: kind, burst, period in us, the starts it follows (or false), burst and debt, units

--> roll

-- Of a rule and a word: `ends` and `used`, the end and the count of the window that now counts in. What a window
-- used drains by the units as it ends.
--< window
local stored, used = word[1] * 1000000, 0
if stored >= ends then
  if stored <= ends + period + STEP then ends = stored end
  used = word[2]
elseif stored > 0 then
  local begins = ends - period  -- or as the calendar says, unless that has no start so late
  for i = starts and #starts or 0, 1, -1 do
    local start = starts[i] * 1000000
    if start < ends and (i < #starts or ends - start <= period) then
      begins = start
      break
    end
  end
  if stored == begins then used = min(max(word[2] - rule[6], 0), rule[2] - rule[6]) end
end

--> lasts

-- Of a rule and `ends`: until when a count matters. It does in the next window, which may be longer than usual.
local matters = ends + rule[3] + floor(rule[3] / 4)

--> ask

local form, size = '<I5I7', 12
--< word
--< roll
--< lasts
used = used + cost
word[6], word[7], word[9] = ends / 1000000, used, matters
has_room = used <= rule[2]
ask = word

--> tell

saying = saying + 1
said[saying] = word[6]

--> keep

local used = word[7] - cost
if used > 0 and word[6] ~= word[1] then
  word[1], word[2], word[4] = word[6], used, word[9]
end

--> seldom

local function carried_roll(rule, word)
  --< roll
  return ends, used
end

local function carried_until(rule, ends)
  --< lasts
  return matters
end

algorithms[kind] = counted('<I5I7', 12, carried_roll, carried_until)
