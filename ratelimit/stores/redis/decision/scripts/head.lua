-- A batch of decisions and corrections: see script.py for what comes in and goes out.
--
-- Numbers are doubles here: whole ones are exact up to 2^53. Times are microseconds since the
-- Unix epoch, which fit. Where the core counts in sixteenths of a nanosecond ("ticks"), a time
-- is a pair of microseconds and ticks.
--
-- A server forgets a script's functions with each call. Making one takes as long as deciding, and a table as long
-- as a step of that. So the common way has no functions: what several places share is text that script.py puts there.
-- What few calls need is made where it is needed. Tables are made with all their fields at once, since they are
-- copied whenever they grow.

local TICKS = 16000             -- a microsecond
local STEP = 60 * 1000 * 1000   -- what a clock may be off before it is taken to have stepped
local HINT = 1000 * 1000        -- the wait told for a concurrency slot
local NEVER = -1
local FOREVER = 549755813888 * 1000000  -- the end of a lifetime; a key until then does not lapse
local ALLOWED, REFUSED, SHADOWED = 1, 2, 3
local PEEK, DECIDE, CORRECT, LEASE = 0, 1, 2, 3

local floor, max, min = math.floor, math.max, math.min
local call, pcall_redis = redis.call, redis.pcall
local pack, unpack_bytes, unpack_values = struct.pack, struct.unpack, cmsgpack.unpack

-- time or false, worker, how many rules, rules, items; see script.py.
local given = { unpack_values(ARGV[1]) }
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
-- The answer. Its blanks are room for that of four limits.
local said = { now, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
local saying = 1        -- how long it is: the length operator would search for it each time

local texts  -- what keys hold, by number, if all hold words: read at once

-- Words: states of a few numbers, read once and written once a batch. Each is three numbers, until
-- when it counts if it was changed, and how it is packed. Then comes what it would be after the decision
-- that is being worked on: the same three, and until when. One that is not there is of zeros. What is
-- written behind a word is `behind`.
local words = { false, false, false, false }

-- An algorithm's file has parts, each under a line `--> name`; script.py puts them in their places. A line
-- `--< name` in a part is another part of the file, or of shared.lua.
--   ask     in the decision: sets `ask` and `has_room` for a word
--   tell    in the answer, behind a word's first two numbers
--   keep    writes what has to be though nothing is charged
--   seldom  sets `algorithms[kind]`, at the first use in a call: the functions `correct` and `lease`.
-- Where the state is no word, `seldom` also has the functions that decide. Their arguments are rule and ask.
-- `check` returns whether there is room, `commit` charges, `keep` is as above. All fill in the ask. Of a word they
-- decide where `ask` sets nothing.
local algorithms, begin
