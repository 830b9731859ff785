-- One worker's sign of life, and how many workers and hosts there are.
--
-- KEYS: a hash of workers. ARGV: the worker, its host, how long a silent worker is kept
-- (microseconds), and the mark of its hash key.
-- Returns how many workers there are, on how many hosts, and how many have another hash key.
-- Their counters of the same callers are others.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local worker, own, patience, mark = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local count, hosts, strangers = 1, 1, 0
local known = { [own] = true }
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local seen, host, at = 0, -1, 1
  if #fields[i + 1] >= 16 then seen, host, at = struct.unpack('<dd', fields[i + 1]) end
  -- Not a number compares false with everything, and cannot be an index.
  if not (now - seen <= patience and host >= 0 and host < 2 ^ 53) then
    redis.call('HDEL', KEYS[1], fields[i])
  elseif fields[i] ~= worker then
    if seen > now then
      -- From before the clock stepped back: without this it would be there until the clock is, too.
      redis.call('HSET', KEYS[1], fields[i], struct.pack('<d', now) .. string.sub(fields[i + 1], 9))
    end
    count = count + 1
    if not known[host] then known[host], hosts = true, hosts + 1 end
    if string.sub(fields[i + 1], at) ~= mark then strangers = strangers + 1 end
  end
end
redis.call('HSET', KEYS[1], worker, struct.pack('<dd', now, own) .. mark)
redis.call('PEXPIRE', KEYS[1], math.ceil(patience / 1000))
return { count, hosts, strangers }
