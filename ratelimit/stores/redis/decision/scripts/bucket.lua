-- Token bucket as the generic cell rate algorithm: the state is one arrival time.
-- rule: kind, burst, interval, depth, how far ahead of now an arrival time is believed, burst and
-- debt, and how long those take. Times are two numbers each: us, ticks.
--
-- Behind it, the leases that are out: for each worker, until when, and how many units at most
-- are neither used nor given back. They are charged already, but when they will be used is not
-- known. A bucket that refilled while they wait would let its burst pass twice. Hence the
-- arrival time is kept as far ahead of now as if all of them came now. Let V be the arrival
-- time of what was really used, and S the units out: arrival >= V + S * interval always holds.
-- So the user of a leased unit finds the room for it that the bucket's own rule asks for.

--> span

-- Of a rule and units: how long so many intervals are.
local span_ticks = rule[4] * units
local span_us = rule[3] * units + floor(span_ticks / TICKS)
span_ticks = span_ticks % TICKS

--> ask

-- One with leases behind it, and one from before a clock step, is left to `check`.
local word, size = words[number], 9
if not word then
  --< text
  if not text then
    word = { 0, 0, 0, false, '<I7I2', 0, 0, 0, 0 }
    words[number] = word
  elseif #text == size then
    local us, ticks = unpack_bytes('<I7I2', text)
    word = { us, ticks, 0, false, '<I7I2', 0, 0, 0, 0 }
    words[number] = word
  end
end
if word and not word.leases and word[1] < now + STEP + rule[7] then
  local us, ticks, units = now, 0, cost
  if word[1] >= now then us, ticks = word[1], word[2] end
  --< span
  us, ticks = us + span_us, ticks + span_ticks
  if ticks >= TICKS then us, ticks = us + 1, ticks - TICKS end
  word[6], word[7], word[9] = us, ticks, us
  local full_us = now + rule[5]
  has_room = cost <= rule[2] and (us < full_us or (us == full_us and ticks <= rule[6]))
  ask = word
end

--> seldom

-- What few calls need: leases, corrections, and clocks that stepped back.

local FORM, SIZE = '<I7I2', 9
local TENANT, TENANT_SIZE = '<I7I7I4', 18
local MOST_OUT = 4294967295  -- units of a lease, in four bytes

local bucket = {}
algorithms[kind] = bucket

local function span(rule, units)
  --< span
  return span_us, span_ticks
end

-- A bucket's word: its arrival time, and leases behind it.
local function bucket_of(number)
  local word = words[number]
  if word then return word end
  --< text
  if not text or #text < SIZE or (#text - SIZE) % TENANT_SIZE ~= 0 then
    word = { 0, 0, 0, false, FORM, 0, 0, 0, 0 }
  else
    local us, ticks = unpack_bytes(FORM, text)
    word = { us, ticks, 0, false, FORM, 0, 0, 0, 0 }
    if #text > SIZE then
      word.leases = {}
      for at = SIZE + 1, #text, TENANT_SIZE do
        local tenant, expires, units = unpack_bytes(TENANT, text, at)
        word.leases[#word.leases + 1] = { tenant, expires, units }
      end
    end
  end
  words[number] = word
  return word
end

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

-- Whether a number of intervals takes longer than a span.
local function is_longer(rule, units, us, ticks)
  local units_us, units_ticks = span(rule, units)
  return is_after(units_us, units_ticks, us, ticks)
end

-- How many intervals fit into a span, at most so many, which lie within the debt: beyond
-- 2^53 numbers are not counted any more.
local function intervals(rule, most, us, ticks)
  if us < 0 then return 0 end
  most = min(most, rule[9])
  if not is_longer(rule, most, us, ticks) then return most end
  local units = min(floor((us * TICKS + ticks) / (rule[3] * TICKS + rule[4])), most)
  while units > 0 and is_longer(rule, units, us, ticks) do units = units - 1 end
  while not is_longer(rule, units + 1, us, ticks) do units = units + 1 end
  return units
end

-- The arrival time as it can be believed: after a clock step back the bucket counts as empty.
local function known(rule, word)
  local us, ticks = plus(now + STEP, 0, rule[7], rule[8])
  if is_after(word[1], word[2], us, ticks) then return plus(now, 0, rule[5], rule[6]) end
  return word[1], word[2]
end

local function arrival_of(us, ticks)
  if us < now then return now, 0 end
  return us, ticks
end

local function later(us, ticks, other_us, other_ticks)
  if is_after(us, ticks, other_us, other_ticks) then return us, ticks end
  return other_us, other_ticks
end

-- The arrival time with regard to leases, those that still run, and how many units they are.
local function with_leases(rule, leases, us, ticks)
  local units = 0
  for i = 1, #leases do units = units + leases[i][3] end
  table.sort(leases, function(one, other) return one[2] < other[2] end)
  local running = {}
  for i = 1, #leases do
    local lease = leases[i]
    if lease[2] <= now then
      -- All of it may have been used at its very end.
      us, ticks = later(us, ticks, plus(lease[2], 0, span(rule, units)))
      units = units - lease[3]
    else
      running[#running + 1] = lease
    end
  end
  us, ticks = later(us, ticks, plus(now, 0, span(rule, units)))
  return us, ticks, running, units
end

local function packed(leases)
  local texts = {}
  for i = 1, #leases do texts[i] = pack(TENANT, leases[i][1], leases[i][2], leases[i][3]) end
  return table.concat(texts)
end

local function put_bucket(word, us, ticks, leases)
  local until_us = us
  if leases and #leases == 0 then leases = nil end
  for i = 1, leases and #leases or 0 do until_us = max(until_us, leases[i][2]) end
  word.leases, word.behind = leases, leases and packed(leases)
  put_word(word, us, ticks, 0, until_us)
end

-- What decides a bucket with leases, or after a clock step. What is read may not be what is told:
-- leases change it.
function bucket.check(rule, ask)
  local word = bucket_of(ask.key)
  ask.word, ask.leases = word, nil
  local us, ticks = known(rule, word)
  ask.is_stale = us ~= word[1] or ticks ~= word[2]
  if word.leases and not ask.is_stale then
    us, ticks, ask.leases = with_leases(rule, word.leases, us, ticks)
    ask.word = { us, ticks }
  end
  ask.first, ask.second = us, ticks
  if ask.cost > rule[2] then return false end
  us, ticks = arrival_of(us, ticks)
  us, ticks = plus(us, ticks, span(rule, ask.cost))
  if is_after(us, ticks, now + rule[5], rule[6]) then return false end
  if ask.cost > 0 then ask.first, ask.second = us, ticks end
  return true
end

function bucket.commit(rule, ask)
  local told, word = ask.word, words[ask.key]
  if ask.first ~= 0 and (ask.first ~= told[1] or ask.second ~= told[2]) then
    put_bucket(word, ask.first, ask.second, ask.leases)
    ask.word = word
  end
end

function bucket.keep(rule, ask)
  if ask.is_stale then put_bucket(words[ask.key], ask.first, ask.second) end
end

-- mark: the arrival time just after the charge. A refund is worth what has not drained yet, to the
-- part of a unit, in a queue that may have become shorter since: other charges were given back.
function bucket.correct(rule, ask)
  local word = bucket_of(ask.key)
  local us, ticks = known(rule, word)
  local leases = word.leases
  us, ticks = arrival_of(us, ticks)
  -- More is charged on top of what is out, which else would swallow it at the next look.
  if leases and ask.cost > 0 then us, ticks, leases = with_leases(rule, leases, us, ticks) end
  local units, moved_us, moved_ticks = 0, 0, 0
  if ask.cost > 0 then
    local far_us, far_ticks = plus(now, 0, rule[10], rule[11])
    if is_after(far_us, far_ticks, us, ticks) then
      local room_us, room_ticks = minus(far_us, far_ticks, us, ticks)
      units = intervals(rule, ask.cost, room_us, room_ticks)
      if ask.cost > units then
        moved_us, moved_ticks = room_us, room_ticks
      else
        units = ask.cost
        moved_us, moved_ticks = span(rule, units)
      end
      us, ticks = plus(us, ticks, moved_us, moved_ticks)
      put_bucket(word, us, ticks, leases)
    end
  elseif is_after(word[1], word[2], now, 0) then
    local mark_us, mark_ticks = ask.mark, ask.mark2
    if is_after(mark_us, mark_ticks, us, ticks) then mark_us, mark_ticks = us, ticks end
    if is_after(mark_us, mark_ticks, now, 0) then
      local ahead_us, ahead_ticks = minus(mark_us, mark_ticks, now, 0)
      local whole = intervals(rule, -ask.cost, ahead_us, ahead_ticks)
      moved_us, moved_ticks = span(rule, whole)
      if whole < -ask.cost and is_after(ahead_us, ahead_ticks, moved_us, moved_ticks) then
        whole, moved_us, moved_ticks = whole + 1, ahead_us, ahead_ticks
      end
      units = -whole
      us, ticks = minus(us, ticks, moved_us, moved_ticks)
      put_bucket(word, us, ticks, leases)
    end
  end
  say(units)
  say(word[1])
  say(word[2])
  say(moved_us)
  say(moved_ticks)
end

function bucket.lease(rule, ask)
  local word = bucket_of(ask.key)
  local us, ticks = known(rule, word)
  local is_stale = us ~= word[1] or ticks ~= word[2]
  us, ticks = arrival_of(us, ticks)
  local running, units = {}, 0
  if word.leases and not is_stale then
    us, ticks, running, units = with_leases(rule, word.leases, us, ticks)
  end
  local others, own = {}, nil
  for i = 1, #running do
    if running[i][1] == worker then
      own = running[i]
      units = units - own[3]
    else
      others[#others + 1] = running[i]
    end
  end
  -- mark: when the lease runs out, as the worker was last told. If that is another lease's then one
  -- call got no answer, and which of the two came first is not known. So what the other left stays
  -- out, and what is given back is part of that.
  local kept, returned = ask.kept, own and ask.returned or 0
  if own and own[2] ~= ask.mark then kept, returned = max(kept, own[3]), 0 end
  if returned > 0 then
    us, ticks = later(now, 0, minus(us, ticks, span(rule, returned)))
  end
  us, ticks = later(us, ticks, plus(now, 0, span(rule, units + kept)))
  local full_us, full_ticks = plus(now, 0, rule[5], rule[6])
  local room = 0
  if is_after(full_us, full_ticks, us, ticks) then
    room = intervals(rule, rule[2], minus(full_us, full_ticks, us, ticks))
  end
  local granted = min(ask.want, floor(room / ask.divisor), MOST_OUT - kept)
  us, ticks = plus(us, ticks, span(rule, granted))
  local expires = kept + granted > 0 and now + ask.horizon or 0
  if expires > 0 then others[#others + 1] = { worker, expires, kept + granted } end
  if us > now or #others > 0 or word[1] > 0 then put_bucket(word, us, ticks, others) end
  say(granted)
  say(us)
  say(ticks)
  say(expires)
  say(ask.horizon)
end
