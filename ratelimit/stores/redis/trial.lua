-- Tries, for `ratelimit doctor`, everything this library's scripts need of a server and its user.
-- A script, as permissions and available commands can differ inside of one.
-- KEYS[1]: a name nobody else uses; gone at the end, and by itself within seconds if this stops.
-- ARGV[1]: a list of numbers as MessagePack, which has to come back as it is.
-- Reply: MessagePack, a list: what ARGV[1] held; what `struct` made of its own packing; the Lua
-- version; and a list of "COMMAND error", one for each command that is refused.

local key = KEYS[1]
local refused = {}

local function try(name, ...)
  local answer = redis.pcall(name, ...)
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = name .. ' ' .. answer.err
  end
end

try('TIME')
try('SET', key, 'x', 'PX', 5000)
try('GET', key)
try('MGET', key)
try('PEXPIRE', key, 5000)
try('DEL', key)
try('SETRANGE', key, 0, 'x')
try('SETBIT', key, 1, 1)
try('GETBIT', key, 1)
try('GETRANGE', key, 0, 7)
try('PEXPIRE', key, 5000)
try('DEL', key)
try('HSET', key, 'field', 1)
try('PEXPIRE', key, 5000)
try('HGET', key, 'field')
try('HMGET', key, 'field')
try('HGETALL', key)
try('HINCRBY', key, 'field', 1)
try('HDEL', key, 'field')
try('DEL', key)
try('ZADD', key, 1, 'member')
try('PEXPIRE', key, 5000)
try('ZCARD', key)
try('ZREM', key, 'member')
try('ZREMRANGEBYSCORE', key, '-inf', 1)
try('DEL', key)

local number = struct.unpack('>I4', (struct.pack('>I4', 4000000001)))
return cmsgpack.pack({cmsgpack.unpack(ARGV[1]), number, _VERSION, refused})
