-- Append to a stream, if the term is still the writer's.
--
-- KEYS[1]  the term
-- KEYS[2]  the stream
-- ARGV[1]  the writer's term
-- ARGV[2]  about how many entries are kept
-- ARGV[3]  how long the stream outlives its last entry, milliseconds
-- ARGV[4]  the entry
--
-- Reply: the entry's id, or false: another has a later term, and nothing was written.
-- Both keys share a hash tag. A script, since a writer may sleep between a look at the term
-- and its write, for as long as it likes.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return false
end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return id
