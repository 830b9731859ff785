-- What follows makes one kind of rule's functions, in a call that needs them.

local function say(number)
  saying = saying + 1
  said[saying] = number
end

local function put_word(word, first, second, third, until_us)
  word[1], word[2], word[3], word[4] = first, second, third, until_us
end
