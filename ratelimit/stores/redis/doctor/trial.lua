-- Tries, for `ratelimit doctor`, commands that this library's scripts call.
-- A script, as permissions and available commands can differ inside of one.
-- KEYS[1]: a name that nothing else uses; gone at the end, and by itself within seconds if this stops.
-- ARGV[1]: a list of numbers as MessagePack, which has to come back as it is.
-- ARGV[2]: the commands as MessagePack, each a list of words; `@` stands for the key.
-- Reply: MessagePack, a list: what ARGV[1] held; what `struct` made of its own packing; the Lua
-- version. Last is a list of commands that are refused, each with the error.

local refused = {}
for _, words in ipairs(cmsgpack.unpack(ARGV[2])) do
  for at = 2, #words do
    if words[at] == '@' then words[at] = KEYS[1] end
  end
  local answer = redis.pcall(unpack(words))
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = { words[1], answer.err }
  end
end

local number = struct.unpack('>I4', (struct.pack('>I4', 4000000001)))
return cmsgpack.pack({cmsgpack.unpack(ARGV[1]), number, _VERSION, refused})
