-- A batch of decisions and corrections: see script.py for what comes in and goes out.
--
-- Numbers are doubles here: whole ones are exact up to 2^53. Times are microseconds since
-- the Unix epoch, which fit; where the core counts in sixteenths of a nanosecond ("ticks"),
-- a time is a pair of microseconds and ticks.
--
-- A server forgets a script's functions with each call, and making a function or a table takes
-- as long as a step of a decision. So what few calls need is made where it is needed, and tables
-- are made with all their fields at once, since they are copied whenever they grow.

local TICKS = 16000             -- a microsecond
local STEP = 60 * 1000 * 1000   -- what a clock may be off before it is taken to have stepped
local HINT = 1000 * 1000        -- what to tell a client that waits for a concurrency slot
local NEVER = -1
local ALLOWED, REFUSED, SHADOWED = 1, 2, 3
local PEEK, DECIDE, CORRECT, LEASE = 0, 1, 2, 3
local BUCKET, FIXED, SLIDING = 1, 2, 3  -- kinds whose state is a word; others follow

local floor, max, min = math.floor, math.max, math.min
local call, pcall_redis = redis.call, redis.pcall
local pack, unpack_bytes = struct.pack, struct.unpack

-- time or false, worker, how many rules, rules, items; see script.py.
local given = { cmsgpack.unpack(ARGV[1]) }
local RULES = 4  -- where rules begin
local now, worker = given[1], given[2]
local least_ttl = 1
if now then
  -- A caller with a clock of its own (tests, replays): keys must outlive what is only real time.
  least_ttl = 10 * 60 * 1000
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local operation = PEEK  -- of the item being worked on
local said = { now }    -- the answer
local saying = 1        -- how long it is: the length operator would search for it each time
local function say(number)
  saying = saying + 1
  said[saying] = number
end

-- What keys hold, by number, if all hold words: read at once.
local texts
local function text_of(number)
  if texts then return texts[number] end
  local text = pcall_redis('GET', KEYS[number])
  -- A value of another type, which cannot be ours, is read as none, and overwritten.
  return type(text) ~= 'table' and text
end

-- Words: states of a few numbers, read once and written once a batch. Each is three numbers,
-- until when it counts if it was changed, and how it is packed. One that is not there is of zeros.
local words = { false, false, false, false }

local function word_of(number, form, size)
  local word = words[number]
  if word then return word end
  local text = text_of(number)
  if text and #text == size then
    local first, second, third = unpack_bytes(form, text)
    word = { first, second, third, false, form }
  else
    word = { 0, 0, 0, false, form }
  end
  words[number] = word
  return word
end

local function put_word(word, first, second, third, until_us)
  word[1], word[2], word[3], word[4] = first, second, third, until_us
end

local function ttl_of(until_us)
  return max(floor((until_us - now) / 1000) + 1, least_ttl)
end

-- Whether a * b <= c * d; a, c < 2^40, b, d < 2^50.
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

-- When the fixed window around now ends.
local function end_of(rule)
  local period, starts = rule[3], rule[4]
  if not starts then return now - now % period + period end
  for i = 1, #starts do
    if starts[i] * 1000000 > now then return starts[i] * 1000000 end
  end
  local last = starts[#starts] * 1000000
  return now - (now - last) % period + period
end

-- What decides, by kind. Of a word's kind:
--   check(rule, ask)  whether there is room; leaves the word (`ask.word`), the three numbers it would
--                     then be (`first` and so on) and until when it would count (`until_us`)
--   keep(rule, ask)   writes what has to be though nothing is charged
--   commit(rule, ask) where charging is more than writing those numbers
-- Others say in `ask` what is told of them, and always commit. `rest()` adds what few calls need:
-- `correct` and `lease`. `begin` makes an algorithm and `whole` all of it, when it is first used.
local algorithms = { false, false, false, false, false, false }
local begin, whole
