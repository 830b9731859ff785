-- Put a value that was written in chunks in force, if the term is still the writer's.
--
-- KEYS[1]  the term
-- KEYS[2]  the head: which chunks are in force
-- KEYS[3]  the chunks that were in force before
-- KEYS[4]  those that are from now on: until here they were to go by themselves soon
-- ARGV[1]  the writer's term
-- ARGV[2]  the new head
-- ARGV[3]  how long it lasts, milliseconds
-- ARGV[4]  how long those before may still be read, milliseconds
--
-- Reply: 1 in force, 0 another has a later term. All keys share a hash tag.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 1
