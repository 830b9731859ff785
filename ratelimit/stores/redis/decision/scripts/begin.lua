-- What follows makes one kind of rule's functions, in a call that needs them.

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
