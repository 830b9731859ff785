-- What follows makes one kind of rule's functions, in a call that needs them.

local function word_of(number, form, size)
  --< word
  return word
end

local function ttl_of(until_us)
  return max(floor((until_us - now) / 1000) + 1, least_ttl)
end

local function say(number)
  saying = saying + 1
  said[saying] = number
end

local function put_word(word, first, second, third, until_us)
  word[1], word[2], word[3], word[4] = first, second, third, until_us
end

-- A window's count after a correction: raised to the units and debt at most.
local function saturated(rule, count, delta)
  if delta < 0 then return max(count + delta, 0) end
  return max(min(count + delta, rule[5]), count)
end

-- What corrects and leases windows that are one count behind their end. `roll` returns the end and the count of the
-- window that now counts in; `lasts` until when a count matters, its end by default.
local function counted(form, size, roll, lasts)
  local made = {}

  -- mark: the end of the window that was charged, in seconds. When that is over, more counts in the
  -- window that now is, and less changes nothing.
  function made.correct(rule, ask)
    local word = word_of(ask.key, form, size)
    local ends, count = roll(rule, word, ask.mark2)
    local moved = 0
    if ends == ask.mark * 1000000 or ask.cost > 0 then moved = saturated(rule, count, ask.cost) - count end
    if moved ~= 0 then
      put_word(word, ends / 1000000, count + moved, 0, lasts and lasts(rule, ends) or ends)
    end
    say(moved)
    say(word[1])
    say(word[2])
  end

  -- What is leased is charged to this window. What of it is not given back by its end was used.
  function made.lease(rule, ask)
    local word = word_of(ask.key, form, size)
    local ends, count = roll(rule, word, ask.mark2)
    if ask.mark * 1000000 == ends then count = max(count - ask.returned, 0) end
    local granted = min(ask.want, max(floor((rule[2] - count) / ask.divisor), 0))
    if word[1] > 0 or granted > 0 then
      put_word(word, ends / 1000000, count + granted, 0, lasts and lasts(rule, ends) or ends)
    end
    say(granted)
    say(ends / 1000000)
    say(count + granted)
    say(ends / 1000000)
    say(ends - now)
  end

  return made
end
