-- Put the log of the operator's acts of all hosts in place of another, if that is as its writer read it.
--
-- KEYS[1]  the acts: a list of lines
-- ARGV[1]  the list's first line as it was read; empty if there was none
-- ARGV[2]  how long the list outlives the last act, milliseconds
-- ARGV[3…] the lines: first the digest of all, then the acts
--
-- Reply: 1, or 0 if another act came in between; nothing was changed then.
-- A script, since an act has the number after the last one, and two may be made in the same instant.

local first = redis.call('LRANGE', KEYS[1], 0, 0)[1] or ''
if first ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for at = 3, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
