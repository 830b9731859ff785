-- Fixed and sliding windows: counts of aligned windows.
-- rule: kind, units, period in us, and for a fixed window the starts it follows (or false)

local FIXED_FORM, FIXED_SIZE = '<I5I5', 10
local SLIDING_FORM, SLIDING_SIZE = '<I5I5I5', 15

-- The end and the count of the window that now counts in.
local function fixed_roll(rule, word)
  local ends = end_of(rule)
  local stored = word[1] * 1000000
  if stored < ends then return ends, 0 end
  if stored <= ends + rule[3] + STEP then ends = stored end
  return ends, word[2]
end

-- The window now counts in: its number, the counts before and in it, how much of it has
-- passed, and how far ahead of now it is (after a clock step back).
local function sliding_roll(rule, word)
  local period = rule[3]
  local elapsed = now % period
  local window = (now - elapsed) / period
  local stored, before, current = word[1], word[2], word[3]
  if window > stored + 1 then
    before, current = 0, 0
  elseif window == stored + 1 then
    before, current = current, 0
  elseif window < stored then
    local ahead = stored * period - now
    if ahead <= period + STEP then window, elapsed = stored, 0 end
  end
  return window, before, current, elapsed
end

-- What counts units in windows can correct and lease them.
local function rest()
  local fixed, sliding = algorithms[FIXED], algorithms[SLIDING]
  fixed.rest, sliding.rest = nil, nil

  local function saturated(rule, count, delta)
    if delta < 0 then return max(count + delta, 0) end
    return max(min(count + delta, 2 * rule[2]), count)
  end

  local function put_sliding(rule, word, window, before, current)
    put_word(word, window, before, current, (window + 2) * rule[3])
  end

  -- mark: the end of the window that was charged, in seconds.
  function fixed.correct(rule, ask)
    local word = word_of(ask.key, FIXED_FORM, FIXED_SIZE)
    local stored, ends = word[1], ask.mark * 1000000
    local before, after = 0, 0
    if stored == ask.mark then
      before = word[2]
      after = saturated(rule, before, ask.cost)
    elseif ask.cost > 0 and now < ends and (stored < ask.mark or stored * 1000000 > ends + rule[3] + STEP) then
      after = saturated(rule, 0, ask.cost)
    end
    if after ~= before then put_word(word, ask.mark, after, 0, ends) end
    say(after - before)
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

  -- mark: the number of the window that was charged.
  function sliding.correct(rule, ask)
    local word = word_of(ask.key, SLIDING_FORM, SLIDING_SIZE)
    local window, before, current = sliding_roll(rule, word)
    local moved = 0
    if window == ask.mark then
      moved = saturated(rule, current, ask.cost) - current
      if moved ~= 0 then put_sliding(rule, word, window, before, current + moved) end
    elseif window == ask.mark + 1 then
      moved = saturated(rule, before, ask.cost) - before
      if moved ~= 0 then put_sliding(rule, word, window, before + moved, current) end
    end
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
end

algorithms[FIXED] = {
  check = function(rule, ask)
    local word = word_of(ask.key, FIXED_FORM, FIXED_SIZE)
    local ends, count = fixed_roll(rule, word)
    count = count + ask.cost
    ask.word, ask.first, ask.second, ask.until_us = word, ends / 1000000, count, ends
    return count <= rule[2]
  end,
  keep = function(rule, ask)
    local word, count = ask.word, ask.second - ask.cost
    if count > 0 and ask.first ~= word[1] then put_word(word, ask.first, count, 0, ask.until_us) end
  end,
  rest = rest,
}
algorithms[SLIDING] = {
  check = function(rule, ask)
    local word = word_of(ask.key, SLIDING_FORM, SLIDING_SIZE)
    local window, before, current, elapsed = sliding_roll(rule, word)
    current = current + ask.cost
    ask.word, ask.first, ask.second, ask.third = word, window, before, current
    ask.until_us = (window + 2) * rule[3]
    local room = rule[2] - current
    if before == 0 then return room >= 0 end
    return room >= 0 and is_product_within(before, rule[3] - elapsed, room, rule[3])
  end,
  keep = function(rule, ask)
    local word, current = ask.word, ask.third - ask.cost
    if (ask.second > 0 or current > 0) and ask.first ~= word[1] then
      put_word(word, ask.first, ask.second, current, ask.until_us)
    end
  end,
  rest = rest,
}
