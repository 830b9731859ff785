-- Windows with one count of which the next has what was left. They are aligned to the period, or by a calendar.
-- rule: kind, burst, period in us, the starts it follows (or false), burst and debt, units

--> once

local CARRIED_FORM, CARRIED_SIZE = '<I5I7', 12

-- When the window begins that ends then.
local function start_before(rule, ends)
  local starts = rule[4] or {}
  for i = #starts, 1, -1 do
    local start = starts[i] * 1000000
    if start < ends and (i < #starts or ends - start <= rule[3]) then return start end
  end
  return ends - rule[3]
end

-- The end and the count of the window that now counts in. What a window used drains by the units as it ends.
local function carried_roll(rule, word)
  local ends = end_of(rule)
  local stored = word[1] * 1000000
  if stored < ends then
    local count = 0
    if stored > 0 and stored == start_before(rule, ends) then
      count = min(max(word[2] - rule[6], 0), rule[2] - rule[6])
    end
    return ends, count
  end
  if stored <= ends + rule[3] + STEP then ends = stored end
  return ends, word[2]
end

-- Until when a count matters: it does in the next window, which may be longer than usual.
local function carried_until(rule, ends)
  return ends + rule[3] + floor(rule[3] / 4)
end

--> ask

ask = word_of(number, CARRIED_FORM, CARRIED_SIZE)
local ends, used = carried_roll(rule, ask)
used = used + cost
ask[6], ask[7], ask[9] = ends / 1000000, used, carried_until(rule, ends)
has_room = used <= rule[2]

--> tell

saying = saying + 1
said[saying] = word[6]

--> keep

local used = word[7] - cost
if used > 0 and word[6] ~= word[1] then
  word[1], word[2], word[4] = word[6], used, word[9]
end

--> seldom

algorithms[kind] = counted(CARRIED_FORM, CARRIED_SIZE, carried_roll, carried_until)
