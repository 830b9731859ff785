-- Distinct count: a bitmap behind the end of its window and the number of bits set.
-- rule: kind, units, period in us, starts (or false)

--> seldom

local HEAD, HEAD_SIZE = '<I5I4', 9

local function open_sketch(rule, key)
  --< window
  local head = pcall_redis('GETRANGE', key, 0, HEAD_SIZE - 1)
  if type(head) == 'table' then
    call('DEL', key)
    head = ''
  end
  if #head == HEAD_SIZE then
    local stored, members = unpack_bytes(HEAD, head)
    stored = stored * 1000000
    if stored >= ends and stored <= ends + rule[3] + STEP then return stored, members, true end
  end
  return ends, 0, false
end

algorithms[kind] = {
  check = function(rule, ask)
    local ends, members, is_kept = open_sketch(rule, KEYS[ask.key])
    ask.ends, ask.members, ask.is_kept = ends, members, is_kept
    ask.is_seen = is_kept and call('GETBIT', KEYS[ask.key], HEAD_SIZE * 8 + ask.mark) == 1
    ask.remaining = max(rule[2] - members, 0)
    ask.reset = ends - now
    ask.retry = 0
    if members < rule[2] or ask.cost == 0 or ask.is_seen then return true end
    ask.retry = ask.reset
    return false
  end,
  commit = function(rule, ask)
    if ask.cost == 0 or ask.is_seen then return end
    local head = pack(HEAD, ask.ends / 1000000, ask.members + 1)
    if ask.is_kept then
      call('SETRANGE', KEYS[ask.key], 0, head)
    else
      call('SET', KEYS[ask.key], head)
    end
    call('SETBIT', KEYS[ask.key], HEAD_SIZE * 8 + ask.mark, 1)
    call('PEXPIRE', KEYS[ask.key], ttl_of(ask.ends))
    ask.remaining = max(rule[2] - ask.members - 1, 0)
    ask.is_charged = true
  end,
  -- mark2: the end of the window that was charged, in seconds. Only ever taken back whole.
  correct = function(rule, ask)
    local ends, members, is_kept = open_sketch(rule, KEYS[ask.key])
    local moved = 0
    if ask.cost < 0 and is_kept and ends == ask.mark2 * 1000000
      and call('SETBIT', KEYS[ask.key], HEAD_SIZE * 8 + ask.mark, 0) == 1 then
      call('SETRANGE', KEYS[ask.key], 0, pack(HEAD, ask.mark2, max(members - 1, 0)))
      moved = -1
    end
    say(moved)
    say(ask.mark2)
  end,
}
