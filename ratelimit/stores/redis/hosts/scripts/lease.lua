-- Take the lease, or renew it.
--
-- KEYS[1]  the lease: its holder; expires with its holder's silence
-- KEYS[2]  the term: a number that only ever grows, by which late writes are told (fencing)
-- ARGV[1]  the host that asks
-- ARGV[2]  how long the lease lasts without renewal, milliseconds
-- ARGV[3]  the highest term that this host has seen, 0 for none
-- ARGV[4]  how long the term is remembered when no host asks, milliseconds
-- ARGV[5]  1 if this host has the correlator's memory, 0 if it would have to fetch it
-- ARGV[6]  how long the host that has it is waited for when all data was lost, milliseconds
--
-- Reply: {1 held | 2 newly won | 0 another host's, the term, milliseconds left, the term before}
--
-- Both keys share a hash tag. A script, since which host may take it depends on which has it.
-- A term is at least the server's time in milliseconds, so that it grows even when all data
-- was lost. Hosts that saw the last one would otherwise ignore its successors. In that
-- case the lease is kept for a while for the host that still has the memory, under the name `-`.
-- The term is 1 meanwhile, which says that no host has correlated since.

local holder = redis.call('GET', KEYS[1])
local before = tonumber(redis.call('GET', KEYS[2]) or '0')
if holder == ARGV[1] and before > 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[4])
    return {1, before, tonumber(ARGV[2]), before}
end
if holder == '-' and ARGV[5] == '1' then
    holder = false
end
if holder and holder ~= ARGV[1] then
    return {0, before, redis.call('PTTL', KEYS[1]), before}
end
if before == 0 and tonumber(ARGV[3]) > 0 and ARGV[5] ~= '1' then
    redis.call('SET', KEYS[1], '-', 'PX', ARGV[6])
    redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
    return {0, 1, tonumber(ARGV[6]), 0}
end
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local term = math.max(before + 1, tonumber(ARGV[3]) + 1, now_ms)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term), 'PX', ARGV[4])
return {2, term, tonumber(ARGV[2]), before}
