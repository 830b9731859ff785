-- Sliding windows: the number of an aligned window, the count before it and in it.
-- rule: kind, units, period in us, false, units and debt

--> product

-- Of a, b, c and d: `is_within`, whether a * b <= c * d; a, c < 2^52, b, d < 2^48.
local left, right = a * b, c * d
local is_within = left <= right
if left >= 9007199254740992 or right >= 9007199254740992 then
  -- As three limbs of 24 bits and more, for products past 2^53.
  local LIMB = 16777216
  local high, middle, low = { 0, 0 }, { 0, 0 }, { 0, 0 }
  for i = 1, 2 do
    local one, other = a, b
    if i == 2 then one, other = c, d end
    local one1, one0 = floor(one / LIMB), one % LIMB
    local other1, other0 = floor(other / LIMB), other % LIMB
    local lowest = one0 * other0
    local next = one1 * other0 + floor(lowest / LIMB)
    local carry = floor(next / LIMB)
    next = next % LIMB + one0 * other1
    high[i], middle[i], low[i] = one1 * other1 + carry + floor(next / LIMB), next % LIMB, lowest % LIMB
  end
  if high[1] ~= high[2] then
    is_within = high[1] < high[2]
  elseif middle[1] ~= middle[2] then
    is_within = middle[1] < middle[2]
  else
    is_within = low[1] <= low[2]
  end
end

--> roll

-- Of a rule and a word: `window`, its number that now counts in, the counts `before` and in it, and how much of it
-- has `elapsed`. Nothing has of one that is still to come, after a clock step back.
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

--> ask

local form, size = '<I5I7I7', 19
--< word
--< roll
current = current + cost
word[6], word[7], word[8], word[9] = window, before, current, (window + 2) * period
has_room = current <= rule[2]
if has_room and before > 0 then
  local a, b, c, d = before, period - elapsed, rule[2] - current, period
  --< product
  has_room = is_within
end
ask = word

--> tell

said[saying + 1], said[saying + 2] = word[3], word[6]
saying = saying + 2

--> keep

local current = word[8] - cost
if (word[7] > 0 or current > 0) and word[6] ~= word[1] then
  word[1], word[2], word[3], word[4] = word[6], word[7], current, word[9]
end

--> seldom

local SLIDING_FORM, SLIDING_SIZE = '<I5I7I7', 19

local sliding = {}
algorithms[kind] = sliding

local function is_product_within(a, b, c, d)
  --< product
  return is_within
end

local function sliding_roll(rule, word)
  --< roll
  return window, before, current, elapsed
end

local function put_sliding(rule, word, window, before, current)
  put_word(word, window, before, current, (window + 2) * rule[3])
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
