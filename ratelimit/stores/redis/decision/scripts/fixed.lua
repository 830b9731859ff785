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

local fixed = {}
algorithms[kind] = fixed

-- mark: the end of the window that was charged, in seconds. When that is over, more counts in the
-- window that now is, and less changes nothing.
function fixed.correct(rule, ask)
  local word = word_of(ask.key, FIXED_FORM, FIXED_SIZE)
  local ends, count = fixed_roll(rule, word, ask.mark2)
  local moved = 0
  if ends == ask.mark * 1000000 or ask.cost > 0 then moved = saturated(rule, count, ask.cost) - count end
  if moved ~= 0 then put_word(word, ends / 1000000, count + moved, 0, ends) end
  say(moved)
  say(word[1])
  say(word[2])
end

-- What is leased is charged to this window, and lapses with it.
function fixed.lease(rule, ask)
  local word = word_of(ask.key, FIXED_FORM, FIXED_SIZE)
  local ends, count = fixed_roll(rule, word, ask.mark2)
  if ask.mark * 1000000 == ends then count = max(count - ask.returned, 0) end
  local granted = min(ask.want, max(floor((rule[2] - count) / ask.divisor), 0))
  if word[1] > 0 or granted > 0 then put_word(word, ends / 1000000, count + granted, 0, ends) end
  say(granted)
  say(ends / 1000000)
  say(count + granted)
  say(ends / 1000000)
  say(ends - now)
end
