-- One worker's sign of life, and what share of the traffic it has had of late.
--
-- KEYS: a hash of workers. ARGV: the worker, how many decisions it made since its last beat, how
-- long a silent worker is kept (microseconds), and the mark of its hash key.
-- Returns how many workers there are, this one's share of the traffic, in millionths, and how
-- many have another hash key. Their counters of the same callers are others.

local MEMORY = 10 * 1000 * 1000  -- traffic fades by a factor e in so many microseconds

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local worker, made, patience, mark = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local count, total, own, strangers = 0, 0, 0, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local seen, weight, at = 0, 0, 1
  if #fields[i + 1] >= 16 then seen, weight, at = struct.unpack('<dd', fields[i + 1]) end
  -- Not a number compares false with everything. A weight below nothing would make shares above one.
  if not (now - seen <= patience and weight >= 0 and weight < 1e15) then
    redis.call('HDEL', KEYS[1], fields[i])
  else
    if seen > now then
      -- From before the clock stepped back: without this it would be there until the clock is, too.
      redis.call('HSET', KEYS[1], fields[i], struct.pack('<d', now) .. string.sub(fields[i + 1], 9))
      seen = now
    end
    weight = weight * math.exp(-(now - seen) / MEMORY)
    if fields[i] == worker then
      own = weight
    else
      count, total = count + 1, total + weight
      if string.sub(fields[i + 1], at) ~= mark then strangers = strangers + 1 end
    end
  end
end
own = own + made
redis.call('HSET', KEYS[1], worker, struct.pack('<dd', now, own) .. mark)
redis.call('PEXPIRE', KEYS[1], math.ceil(patience / 1000))
total = total + own
local share = total > 0 and own / total or 1 / (count + 1)
return { count + 1, math.floor(share * 1000000), strangers }
