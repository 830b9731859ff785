-- Append one of the operator's acts to the log of all hosts, if the log is as its writer read it.
--
-- KEYS[1]  the acts: a list of lines
-- ARGV[1]  the list's last line as it was read; empty if there was none
-- ARGV[2]  how long the list outlives the last act, milliseconds
-- ARGV[3]  1: the lines that follow take the place of all; 0: they come after all
-- ARGV[4…] lines
--
-- Reply: 1, or 0 if another act came in between; nothing was changed then.
-- A script, since an act has the number after the last one, and two may be made in the same instant.

local last = redis.call('LRANGE', KEYS[1], -1, -1)[1] or ''
if last ~= ARGV[1] then return 0 end
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
for at = 4, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
