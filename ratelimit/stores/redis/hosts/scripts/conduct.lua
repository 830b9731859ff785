-- Tell what struck on one host, and read what struck on all.
--
-- KEYS[1]  what is remembered: a hash, key -> "lost eighths kinds second owner"
-- KEYS[2]  keys by the number of their last change: a sorted set
-- KEYS[3]  the number of the last change
-- ARGV[1]  the last change that the caller knows
-- ARGV[2]  keys that are remembered, at most
-- ARGV[3]  keys in one reply, at most
-- ARGV[4]  how long all outlives the last change, milliseconds
-- ARGV[5]  the half-life of what was lost after one strike, seconds
-- ARGV[6]  its most, seconds
-- ARGV[7]  the half-life of strikes, seconds
-- ARGV[8]  a kind strikes again after so long, seconds
-- ARGV[9]  eighths of strikes by calls that leave the half-life as it is
-- ARGV[10...] four words for each that struck: second, key, owner or "-", bits of the kind.
--             The owner is the account of a key at a limit, where calls struck. Else it is a cluster:
--             the account is its certain member, and the kind is of no account.
--
-- Reply: the number of the last change in the reply, then each changed key and what is remembered of it.
--
-- The rules are those of conduct/model/strikes.py, which tests/redis/test_conduct.py holds equal.
-- A script, so that strikes of several hosts at one instant all count.

local words, changes, counter = KEYS[1], KEYS[2], KEYS[3]
local half_life_s, most_half_life_s = tonumber(ARGV[5]), tonumber(ARGV[6])
local forget_s, between_s, free = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local WHOLE, FLOOR, EIGHTHS, MOST_EIGHTHS = 65535, 0.1, 8, 255
local HARMLESS = 655
local PERSISTS, GROWS, SURER, BY_CALLS = 1, 2, 4, 8

local function read(key)
    local said = redis.call('HGET', words, key)
    local lost, eighths, kinds, second, owner = string.match(said or '', '^(%d+) (%d+) (%d+) (%d+) (%S+)$')
    return {
        lost = tonumber(lost or 0), eighths = tonumber(eighths or 0), kinds = tonumber(kinds or 0),
        second = tonumber(second or 0), owner = owner or '-',
    }
end

local function write(key, word)
    local number = redis.call('INCR', counter)
    redis.call('HSET', words, key, string.format(
        '%d %d %d %d %s', word.lost, word.eighths, word.kinds, word.second, word.owner))
    redis.call('ZADD', changes, number, key)
end

local function now(word, second)
    -- What is left of a word at a second.
    local elapsed_s = math.max(0, second - word.second)
    local by_calls = word.kinds >= BY_CALLS
    local beyond, doubles = math.max(0, word.eighths - EIGHTHS), EIGHTHS
    if by_calls then beyond, doubles = math.max(0, word.eighths - free), 2 * EIGHTHS end
    local life_s = math.min(most_half_life_s, half_life_s * 2 ^ (beyond / doubles))
    local lost = math.floor(word.lost * 2 ^ (-elapsed_s / life_s))
    local kinds = word.kinds
    if second - word.second >= between_s then kinds = by_calls and BY_CALLS or 0 end
    return {
        lost = lost > HARMLESS and lost or 0, kinds = kinds, second = second, owner = word.owner,
        eighths = math.floor(word.eighths * 2 ^ (-elapsed_s / forget_s)),
    }
end

local function round(value)
    -- Halves go to the even number, as Python rounds.
    local below = math.floor(value)
    local rest = value - below
    if rest > 0.5 or (rest == 0.5 and below % 2 == 1) then return below + 1 end
    return below
end

local function has(kinds, bit)
    return math.floor(kinds / bit) % 2 == 1
end

local function strike(key, bit, second, owner)
    local was = read(key)
    local word = now(was, second)
    if has(word.kinds, bit) then return end
    if bit == PERSISTS then
        word.owner = owner
        if word.kinds < BY_CALLS then word.kinds = word.kinds + BY_CALLS end
    end
    local kept = math.max(FLOOR, (1 - word.lost / WHOLE) / 2)
    word.lost = round((1 - kept) * WHOLE)
    word.eighths = math.min(MOST_EIGHTHS, word.eighths + EIGHTHS)
    word.kinds = word.kinds + bit
    write(key, word)
end

local function carry(from, to, second)
    -- One actor has the conduct of both: the worse of each.
    local one, other = now(read(from), second), now(read(to), second)
    if one.lost <= other.lost and one.eighths <= other.eighths then return end
    other.lost, other.eighths = math.max(one.lost, other.lost), math.max(one.eighths, other.eighths)
    for _, bit in ipairs({1, 2, 4}) do
        if has(one.kinds, bit) and not has(other.kinds, bit) then other.kinds = other.kinds + bit end
    end
    write(to, other)
end

for at = 10, #ARGV, 4 do
    local second, key, owner, bit = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    if owner == '-' or bit == PERSISTS then
        strike(key, bit, second, owner)
    else
        local account, cluster = read(key), owner
        local before = account.owner
        if before ~= cluster then
            account.owner = cluster
            write(key, account)
            if before == '-' then
                strike(key, SURER, second)
                strike(cluster, GROWS, second)
            else
                carry(before, cluster, second)
            end
        end
    end
end

if #ARGV > 9 then
    local over = redis.call('ZCARD', changes) - tonumber(ARGV[2])
    if over > 0 then
        for _, key in ipairs(redis.call('ZRANGE', changes, 0, over - 1)) do redis.call('HDEL', words, key) end
        redis.call('ZREMRANGEBYRANK', changes, 0, over - 1)
    end
    for _, name in ipairs(KEYS) do redis.call('PEXPIRE', name, ARGV[4]) end
end

local last = tonumber(redis.call('GET', counter) or '0')
local known = tonumber(ARGV[1])
if known > last then known = 0 end  -- the server has lost what it knew
local reply = {known > 0 and known or 0}
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for at = 1, #found, 2 do
    reply[1] = tonumber(found[at + 1])
    reply[#reply + 1] = found[at]
    reply[#reply + 1] = redis.call('HGET', words, found[at]) or ''
end
return reply
