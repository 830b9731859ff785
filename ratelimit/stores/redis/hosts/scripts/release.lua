-- Give the lease up, if it still is one's own.
--
-- KEYS[1]  the lease
-- ARGV[1]  the host that holds it
--
-- Reply: 1 given up, 0 it was another host's. The term stays: it must not be given out again.
-- A script, since between a look and a deletion the lease could change hands.

if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
