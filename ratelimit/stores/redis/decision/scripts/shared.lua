-- Text that several places have: what is a function elsewhere. Each says what it reads, and what it sets.

--> text

-- Of a key's number: `text`. A value of another type, which cannot be ours, is an error, a table of no length.
local text
if texts then text = texts[number] else text = pcall_redis('GET', KEYS[number]) end

--> word

-- Of a key's number, form and size: `word`.
local word = words[number]
if not word then
  --< text
  if text and #text == size then
    local first, second, third = unpack_bytes(form, text)
    word = { first, second, third, false, form, 0, 0, 0, 0 }
  else
    word = { 0, 0, 0, false, form, 0, 0, 0, 0 }
  end
  words[number] = word
end

--> window

-- Of a rule: `ends`, when the window around now does, aligned to the period or by a calendar.
local period, starts = rule[3], rule[4]
local ends = now - now % period + period
if starts then
  local last = starts[#starts] * 1000000
  ends = now - (now - last) % period + period
  for i = 1, #starts do
    if starts[i] * 1000000 > now then
      ends = starts[i] * 1000000
      break
    end
  end
end
