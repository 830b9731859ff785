-- Fixed and sliding windows: counts of aligned windows.
-- rule: kind, units, period in us, for a fixed window the starts it follows (or false), units and debt
--
-- Here is what few calls need: corrections and leases.

local fixed, sliding = {}, {}
algorithms[FIXED], algorithms[SLIDING] = fixed, sliding

local function saturated(rule, count, delta)
  if delta < 0 then return max(count + delta, 0) end
  return max(min(count + delta, rule[5]), count)
end

local function put_sliding(rule, word, window, before, current)
  put_word(word, window, before, current, (window + 2) * rule[3])
end

-- mark: the end of the window that was charged, in seconds. When that is over, more counts in the
-- window that now is, and less changes nothing.
function fixed.correct(rule, ask)
  local word = word_of(ask.key, FIXED_FORM, FIXED_SIZE)
  local ends, count = fixed_roll(rule, word)
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
  local ends, count = fixed_roll(rule, word)
  if ask.mark * 1000000 == ends then count = max(count - ask.returned, 0) end
  local granted = min(ask.want, max(floor((rule[2] - count) / ask.divisor), 0))
  if word[1] > 0 or granted > 0 then put_word(word, ends / 1000000, count + granted, 0, ends) end
  say(granted)
  say(ends / 1000000)
  say(count + granted)
  say(ends / 1000000)
  say(ends - now)
end

-- mark: the number of the window that was charged; when that no longer counts, as above.
function sliding.correct(rule, ask)
  local word = word_of(ask.key, SLIDING_FORM, SLIDING_SIZE)
  local window, before, current = sliding_roll(rule, word)
  local moved = 0
  if window == ask.mark + 1 then
    moved = saturated(rule, before, ask.cost) - before
    before = before + moved
  elseif window == ask.mark or ask.cost > 0 then
    moved = saturated(rule, current, ask.cost) - current
    current = current + moved
  end
  if moved ~= 0 then put_sliding(rule, word, window, before, current) end
  say(moved)
  say(word[1])
  say(word[2])
  say(word[3])
end

function sliding.lease(rule, ask)
  local word = word_of(ask.key, SLIDING_FORM, SLIDING_SIZE)
  local window, before, current, elapsed = sliding_roll(rule, word)
  if ask.mark == window then current = max(current - ask.returned, 0) end
  local room = floor(rule[2] - current - before * (rule[3] - elapsed) / rule[3]) + 1
  while room > 0 and not is_product_within(before, rule[3] - elapsed, rule[2] - current - room, rule[3]) do
    room = room - 1
  end
  local granted = min(ask.want, max(floor(room / ask.divisor), 0))
  if word[1] > 0 or granted > 0 then put_sliding(rule, word, window, before, current + granted) end
  say(granted)
  say(window)
  say(before)
  say(current + granted)
  say(window)
  say((window + 1) * rule[3] - now)
end
