-- A batch of decisions and corrections: see script.py for what comes in and goes out.
--
-- Numbers are doubles here: whole ones are exact up to 2^53. Times are microseconds since the
-- Unix epoch, which fit. Where the core counts in sixteenths of a nanosecond ("ticks"), a time
-- is a pair of microseconds and ticks.
--
-- A server forgets a script's functions with each call, and making a function or a table takes
-- as long as a step of a decision. So what few calls need is made where it is needed. Tables
-- are made with all their fields at once, since they are copied whenever they grow.

local TICKS = 16000             -- a microsecond
local STEP = 60 * 1000 * 1000   -- what a clock may be off before it is taken to have stepped
local HINT = 1000 * 1000        -- the wait told for a concurrency slot
local NEVER = -1
local ALLOWED, REFUSED, SHADOWED = 1, 2, 3
local PEEK, DECIDE, CORRECT, LEASE = 0, 1, 2, 3
local BUCKET, FIXED, SLIDING = 1, 2, 3  -- kinds with a word as state; others follow

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

-- What keys hold, by number, if all hold words: read at once.
local texts
local function text_of(number)
  if texts then return texts[number] end
  local text = pcall_redis('GET', KEYS[number])
  -- A value of another type, which cannot be ours, is read as none, and overwritten.
  return type(text) ~= 'table' and text
end

-- Words: states of a few numbers, read once and written once a batch. Each is three numbers, until
-- when it counts if it was changed, and how it is packed. Then comes what it would be after the decision
-- that is being worked on: the same three, and until when. One that is not there is of zeros.
local words = { false, false, false, false }

local function word_of(number, form, size)
  local word = words[number]
  if word then return word end
  local text = text_of(number)
  if text and #text == size then
    local first, second, third = unpack_bytes(form, text)
    word = { first, second, third, false, form, 0, 0, 0, 0 }
  else
    word = { 0, 0, 0, false, form, 0, 0, 0, 0 }
  end
  words[number] = word
  return word
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

-- A bucket's word: its arrival time, and leases behind it (see bucket.lua).
local BUCKET_FORM, BUCKET_SIZE = '<I7I2', 9
local TENANT, TENANT_SIZE = '<I7I7I4', 18

local function bucket_of(number)
  local word = words[number]
  if word then return word end
  local text = text_of(number)
  if not text or #text < BUCKET_SIZE or (#text - BUCKET_SIZE) % TENANT_SIZE ~= 0 then
    word = { 0, 0, 0, false, BUCKET_FORM, 0, 0, 0, 0 }
  else
    local us, ticks = unpack_bytes(BUCKET_FORM, text)
    word = { us, ticks, 0, false, BUCKET_FORM, 0, 0, 0, 0 }
    if #text > BUCKET_SIZE then
      word.leases = {}
      for at = BUCKET_SIZE + 1, #text, TENANT_SIZE do
        local tenant, expires, units = unpack_bytes(TENANT, text, at)
        word.leases[#word.leases + 1] = { tenant, expires, units }
      end
    end
  end
  words[number] = word
  return word
end

-- The interval times a number of units.
local function span(rule, units)
  local ticks = rule[4] * units
  return rule[3] * units + floor(ticks / TICKS), ticks % TICKS
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

local FIXED_FORM, FIXED_SIZE = '<I5I5', 10
local SLIDING_FORM, SLIDING_SIZE = '<I5I5I5', 15

-- The end and the count of the window that now counts in.
local function fixed_roll(rule, word)
  local ends = end_of(rule)
  local stored = word[1] * 1000000
  if stored < ends then return ends, 0 end
  if stored <= ends + rule[3] + STEP then ends = stored end
  return ends, word[2]
end

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

-- What words are decided by stands in main.lua. The rest is here by kind, made by `begin` at its first
-- use. That is `correct` and `lease` of all, and what decides kinds that are no words.
--   check(rule, ask)  whether there is room
--   keep(rule, ask)   writes what has to be though nothing is charged
--   commit(rule, ask) charges; all say in `ask` what is told of them
local algorithms = { false, false, false, false, false, false }
local begin
