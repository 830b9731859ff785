-- Write one chunk of a value that is not in force yet, if the term is still the writer's.
--
-- KEYS[1]  the term
-- KEYS[2]  the chunks: a hash, its fields counted from 0
-- ARGV[1]  the writer's term
-- ARGV[2]  the chunk's number
-- ARGV[3]  the chunk
-- ARGV[4]  how long the chunks last, milliseconds
--
-- Reply: 1 written, 0 another has a later term. Both keys share a hash tag.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
