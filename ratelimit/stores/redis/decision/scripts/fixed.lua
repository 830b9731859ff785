-- Windows with one count, behind the end of the window. They are aligned to the period, or begin so many
-- seconds later as the ask's mark says, and a correction's or lease's second one.
-- rule: kind, units, period in us, the starts it follows (or false), units and debt.

--> once

local FIXED_FORM, FIXED_SIZE = '<I5I7', 12

-- The end and the count of the window that now counts in.
local function fixed_roll(rule, word, phase)
  local ends = phase > 0 and now - (now - phase * 1000000) % rule[3] + rule[3] or end_of(rule)
  local stored = word[1] * 1000000
  if stored < ends then return ends, 0 end
  if stored <= ends + rule[3] + STEP then ends = stored end
  return ends, word[2]
end

--> ask

ask = word_of(number, FIXED_FORM, FIXED_SIZE)
local ends, used = fixed_roll(rule, ask, given[at + 4])
used = used + cost
ask[6], ask[7], ask[9] = ends / 1000000, used, ends
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

algorithms[kind] = counted(FIXED_FORM, FIXED_SIZE, fixed_roll)
