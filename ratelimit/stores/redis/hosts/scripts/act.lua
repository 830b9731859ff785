-- Put the log of the operator's acts of all hosts in place of another, if that is as its writer read it.
--
-- KEYS[1]  the acts: a list of lines
-- KEYS[2]  there once the server lost acts: a host that is cut off may know more; a list with one line
-- ARGV[1]  the list's first line as it was read; empty if there was none
-- ARGV[2]  how long the list outlives the last act, milliseconds
-- ARGV[3]  how long it may lack acts from now on, milliseconds; 0 if it lacks none
-- ARGV[4…] the lines: first the digest of all, then the acts
--
-- Reply: 1, or 0 if another act came in between; nothing was changed then.
-- A script, since an act has the number after the last one, and two may be made in the same instant.

local first = redis.call('LRANGE', KEYS[1], 0, 0)[1] or ''
if first ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for at = 4, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], '1')
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1
