-- Concurrency: a sorted set of the holders of slots, by until when; holders that live renew in time.
-- rule: kind, units, lease in us

--> seldom

local function slot(mark, number)
  return pack('<I7I7I2', worker, mark, number)
end

local LONGEST_LEASE = 86400 * 1000 * 1000  -- that a policy may ask for

local function used_slots(key)
  local gone = pcall_redis('ZREMRANGEBYSCORE', key, '-inf', now)
  if type(gone) == 'table' then
    call('DEL', key)
  else
    -- From before a clock step: no call would ever see them lapse.
    call('ZREMRANGEBYSCORE', key, now + LONGEST_LEASE + STEP, '+inf')
  end
  return call('ZCARD', key)
end

algorithms[kind] = {
  check = function(rule, ask)
    local used = used_slots(KEYS[ask.key])
    ask.remaining = max(rule[2] - used, 0)
    ask.reset = used > 0 and rule[3] or 0
    ask.retry = 0
    if used + ask.cost <= rule[2] then return true end
    ask.retry = ask.cost > rule[2] and NEVER or HINT
    return false
  end,
  commit = function(rule, ask)
    if ask.cost == 0 then return end
    for number = 1, ask.cost do
      call('ZADD', KEYS[ask.key], now + rule[3], slot(ask.mark, number))
    end
    call('PEXPIRE', KEYS[ask.key], ttl_of(now + rule[3]))
    ask.remaining = max(ask.remaining - ask.cost, 0)
    ask.reset = rule[3]
    ask.is_charged = true
  end,
  -- A negative correction gives the slots back, a positive one renews them.
  correct = function(rule, ask)
    for number = 1, math.abs(ask.cost) do
      if ask.cost < 0 then
        call('ZREM', KEYS[ask.key], slot(ask.mark, number))
      else
        call('ZADD', KEYS[ask.key], 'XX', now + rule[3], slot(ask.mark, number))
      end
    end
    if ask.cost > 0 then call('PEXPIRE', KEYS[ask.key], ttl_of(now + rule[3])) end
    say(ask.cost)
    say(0)
  end,
}
