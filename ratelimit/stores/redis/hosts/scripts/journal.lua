-- Add lines to the journal of all hosts, and read those that others added.
--
-- KEYS[1]  the lines by the number of their arrival: a sorted set
-- KEYS[2]  a hash: `number` of the last line, and `epoch`, which changes when lines are found to be lost
-- ARGV[1]  the last number that the caller knows; -1 to read nothing
-- ARGV[2]  lines that are kept, at most
-- ARGV[3]  lines in the reply, at most
-- ARGV[4]  how long lines outlive the last look of a host that writes, milliseconds
-- ARGV[5]  how long the state does: longer than what limits count, as its loss says that they lost all
-- ARGV[6]  a line that the caller knows to be there; empty for none
-- ARGV[7]  the epoch that the caller knows; empty for none
-- ARGV[8]  an epoch that nobody has had; empty for a caller that only reads
-- ARGV[9…] the lines to add; one that is there keeps its number
--
-- Reply: 1 if nothing that the caller knows was lost, else 0; the epoch; the last number in the reply; lines.
-- A script, so that each line has a number of its own, and a reader misses none.

local lines, state = KEYS[1], KEYS[2]
local known, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('HGET', state, 'number') or '0')
local epoch = redis.call('HGET', state, 'epoch') or ''

-- Of a full journal the oldest lines are gone by rule.
local is_lost = known > last or (ARGV[6] ~= '' and not redis.call('ZSCORE', lines, ARGV[6])
  and redis.call('ZCARD', lines) < most)
local is_other = epoch ~= ARGV[7]
if ARGV[8] ~= '' and (epoch == '' or (is_lost and not is_other)) then
  -- Lines will come again with numbers that others think they know: they begin anew, too.
  epoch = ARGV[8]
  redis.call('HSET', state, 'epoch', epoch)
end
local is_whole = 1
if is_lost or is_other then
  is_whole = 0
  known = math.min(known, 0)
end

for at = 9, #ARGV do
  if not redis.call('ZSCORE', lines, ARGV[at]) then
    redis.call('ZADD', lines, redis.call('HINCRBY', state, 'number', 1), ARGV[at])
  end
end
if #ARGV > 8 then
  local over = redis.call('ZCARD', lines) - most
  if over > 0 then redis.call('ZREMRANGEBYRANK', lines, 0, over - 1) end
end
if ARGV[8] ~= '' then
  redis.call('PEXPIRE', lines, ARGV[4])
  redis.call('PEXPIRE', state, ARGV[5])
end

local reply = {is_whole, epoch, known}
if known < 0 then return reply end
local found = redis.call('ZRANGEBYSCORE', lines, '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for at = 1, #found, 2 do
  reply[3] = tonumber(found[at + 1])
  reply[#reply + 1] = found[at]
end
return reply
