-- Tries, for `ratelimit doctor`, everything that correlation across hosts asks of a server and its user,
-- by scripts and without: who may call a command in a script may call it alone.
-- KEYS[1]: a name nobody else uses, under the prefix in braces; gone at the end, and by itself
-- within seconds if this stops.
-- Reply: MessagePack, a list of "COMMAND error", one for each command that is refused.

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
try('PTTL', key)
try('PEXPIRE', key, 5000)
try('DEL', key)
try('HSET', key, 0, 'x')
try('PEXPIRE', key, 5000)
try('HGET', key, 0)
try('DEL', key)
try('XADD', key, 'MAXLEN', '~', 10, '*', 'e', 'x')
try('PEXPIRE', key, 5000)
try('XRANGE', key, '(0-0', '+', 'COUNT', 1)
try('DEL', key)

return cmsgpack.pack(refused)
