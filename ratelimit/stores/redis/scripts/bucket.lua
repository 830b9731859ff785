-- Token bucket as the generic cell rate algorithm: the state is one arrival time.
-- rule: kind, burst, interval (us, ticks), depth (us, ticks), twice the depth (us, ticks)

local BUCKET, BUCKET_SIZE = '<I7I2', 9

local function is_after(us, ticks, other_us, other_ticks)
  return us > other_us or (us == other_us and ticks > other_ticks)
end

local function plus(us, ticks, more_us, more_ticks)
  ticks = ticks + more_ticks
  if ticks >= TICKS then return us + more_us + 1, ticks - TICKS end
  return us + more_us, ticks
end

local function minus(us, ticks, less_us, less_ticks)
  ticks = ticks - less_ticks
  if ticks < 0 then return us - less_us - 1, ticks + TICKS end
  return us - less_us, ticks
end

-- The interval times a number of units.
local function span(rule, units)
  local ticks = rule[4] * units
  return rule[3] * units + floor(ticks / TICKS), ticks % TICKS
end

-- How many intervals fit into a span.
local function intervals(rule, us, ticks)
  if us < 0 then return 0 end
  local units = floor((us * TICKS + ticks) / (rule[3] * TICKS + rule[4]))
  while units > 0 and is_after(rule[3] * units + floor(rule[4] * units / TICKS), rule[4] * units % TICKS, us, ticks) do
    units = units - 1
  end
  while not is_after(rule[3] * (units + 1) + floor(rule[4] * (units + 1) / TICKS), rule[4] * (units + 1) % TICKS, us, ticks) do
    units = units + 1
  end
  return units
end

-- The arrival time as it can be believed: after a clock step back the bucket counts as empty.
local function known(rule, word)
  if not word then return 0, 0 end
  local us, ticks = plus(now + STEP, 0, rule[7], rule[8])
  if is_after(word[1], word[2], us, ticks) then return plus(now, 0, rule[5], rule[6]) end
  return word[1], word[2]
end

local function arrival_of(us, ticks)
  if us < now then return now, 0 end
  return us, ticks
end

algorithms[1] = {
  check = function(rule, ask)
    local word = word_of(ask.key, BUCKET, BUCKET_SIZE)
    local us, ticks = known(rule, word)
    ask.word = word
    ask.is_stale = word and (us ~= word[1] or ticks ~= word[2])
    ask.us, ask.ticks = us, ticks
    if ask.cost > rule[2] then return false end
    us, ticks = arrival_of(us, ticks)
    local more_us, more_ticks = span(rule, ask.cost)
    us, ticks = plus(us, ticks, more_us, more_ticks)
    local full_us, full_ticks = plus(now, 0, rule[5], rule[6])
    if is_after(us, ticks, full_us, full_ticks) then return false end
    if ask.cost > 0 then ask.us, ask.ticks = us, ticks end
    return true
  end,
  keep = function(rule, ask)
    if ask.is_stale then put_word(ask.key, { ask.us, ask.ticks }, BUCKET, ask.us) end
  end,
  commit = function(rule, ask)
    local word = ask.word
    if ask.us ~= 0 and (not word or ask.us ~= word[1] or ask.ticks ~= word[2]) then
      put_word(ask.key, { ask.us, ask.ticks }, BUCKET, ask.us)
      ask.word = words[ask.key]
    end
  end,
  tell = function(rule, ask)
    say(ask.word and ask.word[1] or 0)
    say(ask.word and ask.word[2] or 0)
  end,
  -- mark: the arrival time just after the charge. A refund is worth what has not drained yet.
  correct = function(rule, ask)
    local word = word_of(ask.key, BUCKET, BUCKET_SIZE)
    local us, ticks = known(rule, word)
    us, ticks = arrival_of(us, ticks)
    local units, moved_us, moved_ticks = 0, 0, 0
    if ask.cost > 0 then
      local far_us, far_ticks = plus(now, 0, rule[7], rule[8])
      if is_after(far_us, far_ticks, us, ticks) then
        local room_us, room_ticks = minus(far_us, far_ticks, us, ticks)
        units = intervals(rule, room_us, room_ticks)
        if ask.cost > units then
          moved_us, moved_ticks = room_us, room_ticks
        else
          units = ask.cost
          moved_us, moved_ticks = span(rule, units)
        end
        us, ticks = plus(us, ticks, moved_us, moved_ticks)
        put_word(ask.key, { us, ticks }, BUCKET, us)
      end
    elseif word and is_after(word[1], word[2], now, 0) then
      units = -min(-ask.cost, intervals(rule, minus(ask.mark, ask.mark2, now, 0)))
      if units < 0 then
        moved_us, moved_ticks = span(rule, -units)
        us, ticks = minus(word[1], word[2], moved_us, moved_ticks)
        put_word(ask.key, { max(us, 0), ticks }, BUCKET, us)
      end
    end
    word = words[ask.key]
    say(units)
    say(word and word[1] or 0)
    say(word and word[2] or 0)
    say(moved_us)
    say(moved_ticks)
  end,
}
