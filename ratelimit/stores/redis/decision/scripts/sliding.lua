-- Sliding windows: the number of an aligned window, the count before it and in it.
-- rule: kind, units, period in us, false, units and debt

--> once

-- Whether a * b <= c * d; a, c < 2^52, b, d < 2^48.
local function is_product_within(a, b, c, d)
  local left, right = a * b, c * d
  if left < 9007199254740992 and right < 9007199254740992 then return left <= right end
  -- As three limbs of 24 bits and more, for products past 2^53.
  local limb = 16777216
  local function product(one, other)
    local a1, a0 = floor(one / limb), one % limb
    local b1, b0 = floor(other / limb), other % limb
    local low = a0 * b0
    local middle = a1 * b0 + floor(low / limb)
    local carry = floor(middle / limb)
    middle = middle % limb + a0 * b1
    return a1 * b1 + carry + floor(middle / limb), middle % limb, low % limb
  end
  local l2, l1, l0 = product(a, b)
  local r2, r1, r0 = product(c, d)
  if l2 ~= r2 then return l2 < r2 end
  if l1 ~= r1 then return l1 < r1 end
  return l0 <= r0
end

local SLIDING_FORM, SLIDING_SIZE = '<I5I7I7', 19

-- The window now counts in: its number, the counts before and in it, and how much of it has
-- passed. Nothing has passed of one that is still to come, after a clock step back.
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

--> ask

ask = word_of(number, SLIDING_FORM, SLIDING_SIZE)
local window, before, current, elapsed = sliding_roll(rule, ask)
current = current + cost
ask[6], ask[7], ask[8], ask[9] = window, before, current, (window + 2) * rule[3]
local room = rule[2] - current
has_room = room >= 0
  and (before == 0 or is_product_within(before, rule[3] - elapsed, room, rule[3]))

--> tell

said[saying + 1], said[saying + 2] = word[3], word[6]
saying = saying + 2

--> keep

local current = word[8] - cost
if (word[7] > 0 or current > 0) and word[6] ~= word[1] then
  word[1], word[2], word[3], word[4] = word[6], word[7], current, word[9]
end

--> seldom

local sliding = {}
algorithms[kind] = sliding

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
