-- One worker's sign of life, and what share of the traffic it has had of late.
--
-- KEYS: a hash of workers. ARGV: the worker, how many decisions it made since its last pulse,
-- and after how long silence a worker is gone, in microseconds.
-- Returns how many workers there are and this one's share of the traffic, in millionths.

local MEMORY = 10 * 1000 * 1000  -- traffic fades by a factor e in so many microseconds

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local worker, made, patience = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local count, total, own = 0, 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local seen, weight = struct.unpack('<dd', fields[i + 1])
  if now - seen > patience then
    redis.call('HDEL', KEYS[1], fields[i])
  else
    weight = weight * math.exp(-math.max(now - seen, 0) / MEMORY)
    if fields[i] == worker then
      own = weight
    else
      count, total = count + 1, total + weight
    end
  end
end
own = own + made
redis.call('HSET', KEYS[1], worker, struct.pack('<dd', now, own))
redis.call('PEXPIRE', KEYS[1], math.ceil(patience / 1000))
total = total + own
return { count + 1, total > 0 and math.floor(own / total * 1000000) or math.floor(1000000 / (count + 1)) }
