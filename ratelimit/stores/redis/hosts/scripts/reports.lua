-- Return what all hosts say of the acts that they apply, and forget hosts that are long silent.
--
-- KEYS[1]  the reports: a hash with a field for each host
-- ARGV[1]  a host that is silent for so long is forgotten, milliseconds
--
-- Reply: the server's time in milliseconds, then each host's field and what it says.

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local reply = {string.format('%.0f', now_ms)}
local found = redis.call('HGETALL', KEYS[1])
for at = 1, #found, 2 do
    local said_ms = tonumber(string.match(found[at + 1], '^(%d+) ') or '0')
    if now_ms - said_ms > tonumber(ARGV[1]) then
        redis.call('HDEL', KEYS[1], found[at])
    else
        reply[#reply + 1] = found[at]
        reply[#reply + 1] = found[at + 1]
    end
end
return reply
