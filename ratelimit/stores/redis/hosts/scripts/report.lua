-- Note which of the operator's acts a host applies.
--
-- KEYS[1]  the reports: a hash with a field for each host
-- ARGV[1]  the host's field
-- ARGV[2]  what it says
-- ARGV[3]  how long the hash outlives the last report, milliseconds
--
-- Reply: 1. The server's time, in milliseconds, is put before what the host says.
-- A script, since a host's own clock would tell others nothing.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now_ms) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
