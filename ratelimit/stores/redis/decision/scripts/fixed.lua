-- Windows with one count, behind the end of the window. They are aligned to the period, or begin so many
-- seconds later as the ask's mark says, and a correction's or lease's second one.
-- rule: kind, units, period in us, the starts it follows (or false), units and debt.

--> roll

-- Of a rule, a word and a phase: `ends` and `used`, the end and the count of the window that now counts in.
--< window
local stored, used = word[1] * 1000000, 0
if phase > 0 then ends = now - (now - phase * 1000000) % period + period end
if stored >= ends then
  if stored <= ends + period + STEP then ends = stored end
  used = word[2]
end

--> ask

local form, size, phase = '<I5I7', 12, given[at + 4]
--< word
--< roll
used = used + cost
word[6], word[7], word[9] = ends / 1000000, used, ends
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

local function fixed_roll(rule, word, phase)
  --< roll
  return ends, used
end

algorithms[kind] = counted('<I5I7', 12, fixed_roll)
