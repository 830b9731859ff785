-- Fixed and sliding windows: counts of aligned windows.
-- rule: kind, units, period in us, and for a fixed window the starts it follows (or false)

local FIXED, FIXED_SIZE = '<I5I5', 10
local SLIDING, SLIDING_SIZE = '<I5I5I5', 15

-- The end and the count of the window that now counts in.
local function fixed_roll(rule, word)
  local ends = end_of(rule)
  if not word then return ends, 0 end
  local stored = word[1] * 1000000
  if stored < ends then return ends, 0 end
  if stored <= ends + rule[3] + STEP then ends = stored end
  return ends, word[2]
end

local function saturated(rule, count, delta)
  if delta < 0 then return max(count + delta, 0) end
  return max(min(count + delta, 2 * rule[2]), count)
end

algorithms[2] = {
  check = function(rule, ask)
    ask.word = word_of(ask.key, FIXED, FIXED_SIZE)
    ask.ends, ask.count = fixed_roll(rule, ask.word)
    return ask.count + ask.cost <= rule[2]
  end,
  keep = function(rule, ask)
    if ask.word and ask.count > 0 and ask.ends ~= ask.word[1] * 1000000 then
      put_word(ask.key, { ask.ends / 1000000, ask.count }, FIXED, ask.ends)
    end
  end,
  commit = function(rule, ask)
    if ask.cost > 0 then
      local word = ask.word or {}
      word[1], word[2] = ask.ends / 1000000, ask.count + ask.cost
      put_word(ask.key, word, FIXED, ask.ends)
      ask.word = word
    else
      algorithms[2].keep(rule, ask)
    end
  end,
  tell = function(rule, ask)
    local word = ask.word
    if not word then word = NOTHING end
    said[saying + 1], said[saying + 2], said[saying + 3] = word[1], word[2], ask.ends / 1000000
    saying = saying + 3
  end,
  -- mark: the end of the window that was charged, in seconds.
  correct = function(rule, ask)
    local word = word_of(ask.key, FIXED, FIXED_SIZE)
    local stored = word and word[1] or 0
    local ends = ask.mark * 1000000
    local before, after = 0, 0
    if stored == ask.mark then
      before = word[2]
      after = saturated(rule, before, ask.cost)
    elseif ask.cost > 0 and now < ends and (stored < ask.mark or stored * 1000000 > ends + rule[3] + STEP) then
      after = saturated(rule, 0, ask.cost)
    end
    if after ~= before then put_word(ask.key, { ask.mark, after }, FIXED, ends) end
    word = words[ask.key]
    say(after - before)
    say(word and word[1] or 0)
    say(word and word[2] or 0)
  end,
  -- What is leased is charged to this window, and lapses with it.
  lease = function(rule, ask)
    local word = word_of(ask.key, FIXED, FIXED_SIZE)
    local ends, count = fixed_roll(rule, word)
    if ask.mark * 1000000 == ends then count = max(count - ask.returned, 0) end
    local granted = min(ask.want, max(floor((rule[2] - count) / ask.divisor), 0))
    if word or granted > 0 then put_word(ask.key, { ends / 1000000, count + granted }, FIXED, ends) end
    say(granted)
    say(ends / 1000000)
    say(count + granted)
    say(ends / 1000000)
    say(ends - now)
  end,
}

-- The window now counts in: its number, the counts before and in it, how much of it has
-- passed, and how far ahead of now it is (after a clock step back).
local function sliding_roll(rule, word)
  local period = rule[3]
  local window = floor(now / period)
  local elapsed = now - window * period
  if not word then return window, 0, 0, elapsed end
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

local function put_sliding(rule, key, window, before, current)
  put_word(key, { window, before, current }, SLIDING, (window + 2) * rule[3])
end

algorithms[3] = {
  check = function(rule, ask)
    ask.word = word_of(ask.key, SLIDING, SLIDING_SIZE)
    local window, before, current, elapsed = sliding_roll(rule, ask.word)
    ask.window, ask.before, ask.current = window, before, current
    local room = rule[2] - current - ask.cost
    if before == 0 then return room >= 0 end
    return room >= 0 and is_product_within(before, rule[3] - elapsed, room, rule[3])
  end,
  keep = function(rule, ask)
    local word = ask.word
    if word and (ask.before > 0 or ask.current > 0) and ask.window ~= word[1] then
      put_sliding(rule, ask.key, ask.window, ask.before, ask.current)
    end
  end,
  commit = function(rule, ask)
    if ask.cost > 0 then
      local word = ask.word or {}
      word[1], word[2], word[3] = ask.window, ask.before, ask.current + ask.cost
      put_word(ask.key, word, SLIDING, (ask.window + 2) * rule[3])
      ask.word = word
    else
      algorithms[3].keep(rule, ask)
    end
  end,
  tell = function(rule, ask)
    local word = ask.word
    if not word then word = NOTHING end
    said[saying + 1], said[saying + 2], said[saying + 3], said[saying + 4] = word[1], word[2], word[3], ask.window
    saying = saying + 4
  end,
  -- mark: the number of the window that was charged.
  correct = function(rule, ask)
    local word = word_of(ask.key, SLIDING, SLIDING_SIZE)
    local window, before, current = sliding_roll(rule, word)
    local moved = 0
    if window == ask.mark then
      moved = saturated(rule, current, ask.cost) - current
      if moved ~= 0 then put_sliding(rule, ask.key, window, before, current + moved) end
    elseif window == ask.mark + 1 then
      moved = saturated(rule, before, ask.cost) - before
      if moved ~= 0 then put_sliding(rule, ask.key, window, before + moved, current) end
    end
    word = words[ask.key]
    say(moved)
    say(word and word[1] or 0)
    say(word and word[2] or 0)
    say(word and word[3] or 0)
  end,
  lease = function(rule, ask)
    local word = word_of(ask.key, SLIDING, SLIDING_SIZE)
    local window, before, current, elapsed = sliding_roll(rule, word)
    if ask.mark == window then current = max(current - ask.returned, 0) end
    local room = floor(rule[2] - current - before * (rule[3] - elapsed) / rule[3]) + 1
    while room > 0 and not is_product_within(before, rule[3] - elapsed, rule[2] - current - room, rule[3]) do
      room = room - 1
    end
    local granted = min(ask.want, max(floor(room / ask.divisor), 0))
    if word or granted > 0 then put_sliding(rule, ask.key, window, before, current + granted) end
    say(granted)
    say(window)
    say(before)
    say(current + granted)
    say(window)
    say((window + 1) * rule[3] - now)
  end,
}
