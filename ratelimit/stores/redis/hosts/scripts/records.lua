-- Tell records of payers that changed on one host, and read those that changed on all.
--
-- KEYS[1]  the records: a hash, key -> "first newest levels"; and "days" -> "since own"
-- KEYS[2]  keys by the number of their last change: a sorted set
-- KEYS[3]  the number of the last change
-- ARGV[1]  the last change that the caller knows
-- ARGV[2]  records that are kept, at most
-- ARGV[3]  records in one reply, at most
-- ARGV[4]  the period now
-- ARGV[5]  how long all outlives the last change, milliseconds
-- ARGV[6]  the day that the caller's records begin with, 0 for none
-- ARGV[7]  its first own day, 0 for none
-- ARGV[8...]  four words for each record: key, first day, newest period, levels of seven periods as
--             hexadecimal bytes, the newest first; of what a payer paid, 255 less its level, 0 if not known. Of a pair: its last day in place of the period, and "-".
--
-- Reply: the number of the last change in the reply, the two days, then each changed key and its record.
--
-- A record is joined: the earlier first day, the newer period, the higher levels. So hosts may tell in any
-- order, and twice. A full hash takes no new key while none in it is silent: no flood of keys pushes a
-- payer out. A script, so that two hosts that tell of one payer at one instant both have their say.

local records, changes, counter = KEYS[1], KEYS[2], KEYS[3]
local most, now = tonumber(ARGV[2]), tonumber(ARGV[4])
local PERIODS, PERIOD_DAYS = 7, 10

local function read(said)
    local first, newest, levels = string.match(said or '', '^(%d+) (%d+) (%S+)$')
    if not first then return nil end
    return {first = tonumber(first), newest = tonumber(newest), levels = levels}
end

local function joined(one, other)
    if other.newest > one.newest then one, other = other, one end
    local found = {first = math.min(one.first, other.first), newest = one.newest, levels = one.levels}
    if one.levels == '-' or other.levels == '-' then return found end
    local behind = string.rep('00', math.min(one.newest - other.newest, PERIODS)) .. other.levels
    found.levels = ''
    for at = 1, 2 * PERIODS, 2 do
        local a, b = string.sub(one.levels, at, at + 1), string.sub(behind, at, at + 1)
        found.levels = found.levels .. (tonumber(a, 16) > tonumber(b, 16) and a or b)
    end
    return found
end

local function has_room()
    if redis.call('ZCARD', changes) < most then return true end
    local oldest = redis.call('ZRANGE', changes, 0, 0)[1]
    local record = read(redis.call('HGET', records, oldest))
    local period = record and (record.levels == '-' and math.floor(record.newest / PERIOD_DAYS) or record.newest)
    if record and period + PERIODS > now then return false end
    redis.call('HDEL', records, oldest)
    redis.call('ZREM', changes, oldest)
    return true
end

for at = 8, #ARGV, 4 do
    local key, said = ARGV[at], redis.call('HGET', records, ARGV[at])
    local told = {first = tonumber(ARGV[at + 1]), newest = tonumber(ARGV[at + 2]), levels = ARGV[at + 3]}
    local known = read(said)
    if known or has_room() then
        local record = known and joined(known, told) or told
        local text = string.format('%d %d %s', record.first, record.newest, record.levels)
        if text ~= said then
            redis.call('HSET', records, key, text)
            redis.call('ZADD', changes, redis.call('INCR', counter), key)
        end
    end
end

local since, own = string.match(redis.call('HGET', records, 'days') or '', '^(%d+) (%d+)$')
local function earlier(one, other)
    one, other = tonumber(one or 0), tonumber(other or 0)
    if one == 0 or other == 0 then return math.max(one, other) end
    return math.min(one, other)
end
local days = {earlier(since, ARGV[6]), earlier(own, ARGV[7])}
redis.call('HSET', records, 'days', string.format('%d %d', days[1], days[2]))
for _, name in ipairs(KEYS) do redis.call('PEXPIRE', name, ARGV[5]) end

local last = tonumber(redis.call('GET', counter) or '0')
local known = tonumber(ARGV[1])
if known > last then known = 0 end  -- the server has lost what it knew
local reply = {known, days[1], days[2]}
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for at = 1, #found, 2 do
    reply[1] = tonumber(found[at + 1])
    reply[#reply + 1] = found[at]
    reply[#reply + 1] = redis.call('HGET', records, found[at]) or ''
end
return reply
