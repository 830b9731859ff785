-- A batch of decisions and corrections: see script.py for what comes in and goes out.
--
-- Numbers are doubles here: whole ones are exact up to 2^53. Times are microseconds since
-- the Unix epoch, which fit; where the core counts in sixteenths of a nanosecond ("ticks"),
-- a time is a pair of microseconds and ticks.

local TICKS = 16000             -- a microsecond
local STEP = 60 * 1000 * 1000   -- what a clock may be off before it is taken to have stepped
local HINT = 1000 * 1000        -- what to tell a client that waits for a concurrency slot
local NEVER = -1
local SKIPPED, ALLOWED, REFUSED, SHADOWED = 0, 1, 2, 3
local PEEK, DECIDE, CORRECT, LEASE = 0, 1, 2, 3

local floor, max, min = math.floor, math.max, math.min
local call, pcall_redis = redis.call, redis.pcall
local pack, unpack_bytes = struct.pack, struct.unpack

-- [time or false, worker, rules, items]; see script.py.
local given = cmsgpack.unpack(ARGV[1])
local now, worker, rules, items = given[1], given[2], given[3], given[4]
local least_ttl = 0
if now then
  -- A caller with a clock of its own (tests, replays): keys must outlive what is only real time.
  least_ttl = 10 * 60 * 1000
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- What decides, by kind, and the files it is from as functions. One is run when a call first
-- has a rule of its kind: making the functions of all takes longer than a decision.
local algorithms, loaders = {}, {}

local function algorithm_of(kind)
  if not algorithms[kind] then loaders[kind]() end
  return algorithms[kind]
end

local operation = PEEK  -- of the item being worked on
local said = { now }    -- the answer
local saying = 1        -- how long it is: the length operator would search for it each time
local function say(number)
  saying = saying + 1
  said[saying] = number
end

-- Words: states of a few numbers, read once and written once a batch.
local words, changed = {}, {}
local texts  -- what all keys hold, if all hold words

local function read_words()
  texts = {}
  -- A value of another type, which cannot be ours, is read as none, and overwritten.
  local found = call('MGET', unpack(KEYS))
  for i = 1, #found do texts[KEYS[i]] = found[i] end
end

local function text_of(key)
  if texts then return texts[key] end
  local text = pcall_redis('GET', key)
  return type(text) ~= 'table' and text
end

local function word_of(key, form, size)
  local word = words[key]
  if word == nil then
    local text = text_of(key)
    word = text and #text == size and { unpack_bytes(form, text) }
    words[key] = word
  end
  return word
end

local function put_word(key, word, form, until_us)
  words[key] = word
  changed[key] = word
  word.form, word.until_us = form, until_us
end

local NOTHING = { 0, 0, 0 }  -- what is said of a key without a word
local packed_leases          -- see bucket.lua

local function ttl_of(until_us)
  return max(floor((until_us - now) / 1000) + 1, 1, least_ttl)
end

local function write_words()
  for key, word in pairs(changed) do
    local text = pack(word.form, word[1], word[2], word[3])
    if word.leases then text = text .. packed_leases(word.leases) end
    call('SET', key, text, 'PX', ttl_of(word.until_us))
  end
end

-- a * b as three limbs of 24 bits and more, for products past 2^53; a < 2^40, b < 2^50.
local LIMB = 16777216
local function product(a, b)
  local a1, a0 = floor(a / LIMB), a % LIMB
  local b1, b0 = floor(b / LIMB), b % LIMB
  local low = a0 * b0
  local middle = a1 * b0 + floor(low / LIMB)
  local carry = floor(middle / LIMB)
  middle = middle % LIMB + a0 * b1
  return a1 * b1 + carry + floor(middle / LIMB), middle % LIMB, low % LIMB
end

-- Whether a * b <= c * d.
local function is_product_within(a, b, c, d)
  local left, right = a * b, c * d
  if left < 9007199254740992 and right < 9007199254740992 then return left <= right end
  local l2, l1, l0 = product(a, b)
  local r2, r1, r0 = product(c, d)
  if l2 ~= r2 then return l2 < r2 end
  if l1 ~= r1 then return l1 < r1 end
  return l0 <= r0
end

-- When the fixed window around now ends.
local function find_end(rule)
  local period, starts = rule[3], rule[4]
  if not starts then return now - now % period + period end
  for i = 1, #starts do
    if starts[i] * 1000000 > now then return starts[i] * 1000000 end
  end
  local last = starts[#starts] * 1000000
  return now - (now - last) % period + period
end

local function end_of(rule)
  if not rule.ends then rule.ends = find_end(rule) end
  return rule.ends
end
