-- Note what one host has before a back end, lease it a part of what may wait there, and return what the others said.
--
-- KEYS[1]   the hosts: a hash, name -> "milliseconds holds wanted demand message"
-- ARGV[1]   the host's name
-- ARGV[2]   how many of its requests have no first byte
-- ARGV[3]   how many of them have no room
-- ARGV[4]   its demand, requests a second
-- ARGV[5]   how many may be without a first byte, of all hosts
-- ARGV[6]   a host that is silent for so long has no part, milliseconds; the hash goes with the last of them
-- ARGV[7]   the demand that each host counts as having, beside its own
-- ARGV[8]   its message; empty: it leaves
--
-- Reply: the server's time in milliseconds, the lease, the host's part, then each other host's name and
-- "milliseconds message".
--
-- The rules are those of `lease` in load/model/hosts.py, which tests/redis/test_load.py holds equal.
-- A script, so that no two hosts lease the same room.

local name, unanswered, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local demand, waiting, alive_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local least = tonumber(ARGV[7])

if ARGV[8] == '' then
    redis.call('HDEL', KEYS[1], name)
    return {}
end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HGETALL', KEYS[1])
local others, every, held, is_wanted = {}, demand + least, 0, false
local reply = {string.format('%.0f', now_ms), 0, ''}
for at = 1, #found, 2 do
    local said_ms, holds, wants, asks, message = string.match(found[at + 1], '^(%d+) (%d+) (%d+) (%S+) (.*)$')
    local age_ms = now_ms - (tonumber(said_ms) or 0)
    if found[at] ~= name then
        if age_ms > alive_ms or age_ms < -alive_ms or not tonumber(asks) then
            redis.call('HDEL', KEYS[1], found[at])
        else
            local other = {tonumber(holds), tonumber(wants), tonumber(asks) + least}
            others[#others + 1] = other
            every, held = every + other[3], held + other[1]
            is_wanted = is_wanted or other[2] > 0
            reply[#reply + 1] = found[at]
            reply[#reply + 1] = said_ms .. ' ' .. message
        end
    end
end

local share = (demand + least) / every
local part, left, most = waiting * share, waiting - held - unanswered, waiting
local is_short = left < 0
for _, other in ipairs(others) do
    is_short = is_short or (other[2] > 0 and other[1] < waiting * other[3] / every)
end
if is_short then
    most = unanswered < part and math.ceil(part) or math.floor(part)
end
local spare = wanted
if spare == 0 then
    spare = math.max(is_wanted and 0 or 1, math.floor(left * share))
end
local lease = math.max(0, math.min(most, unanswered + math.min(spare, math.max(0, left))))
local holds = math.max(lease, unanswered)
redis.call('HSET', KEYS[1], name, string.format('%.0f %.0f %.0f %.17g ', now_ms, holds, wanted, demand) .. ARGV[8])
redis.call('PEXPIRE', KEYS[1], 10 * alive_ms)
reply[2], reply[3] = lease, string.format('%.17g', share)
return reply
