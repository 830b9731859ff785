-- Items: an operation, how many asks, and five numbers an ask: its rule, its cost, whether a
-- refusal binds, and two marks of the rule's own. A lease has seven: its rule, the units wanted,
-- what part of the room may be had at most, the units kept and returned, their mark, and how long it runs.

local function tell(rule, ask, state)
  say(state)
  local algorithm = algorithms[rule[1]]
  if algorithm.tell then
    algorithm.tell(rule, ask)
  else
    say(ask.remaining)
    say(ask.reset)
    say(ask.retry)
    say(ask.mark)
    say(ask.is_charged and 1 or 0)
    say(ask.ends and ask.ends / 1000000 or 0)
  end
end

local at, key_at = 1, 1
while at <= #items do
  local count = items[at + 1]
  operation = items[at]
  at = at + 2
  if operation == LEASE then
    local rule = rules[items[at] + 1]
    algorithms[rule[1]].lease(rule, {
      key = KEYS[key_at], want = items[at + 1], divisor = items[at + 2], kept = items[at + 3],
      returned = items[at + 4], mark = items[at + 5], horizon = items[at + 6],
    })
    at, key_at, count = at + 7, key_at + 1, 0
  end
  local asks, states, is_refused = {}, {}, false
  for i = 1, count do
    local rule = rules[items[at] + 1]
    local ask = { key = KEYS[key_at], cost = items[at + 1], mark = items[at + 3], mark2 = items[at + 4], rule = rule }
    asks[i] = ask
    if operation == CORRECT then
      algorithms[rule[1]].correct(rule, ask)
    elseif algorithms[rule[1]].check(rule, ask) then
      states[i] = ALLOWED
    elseif items[at + 2] == 1 then
      states[i] = REFUSED
      is_refused = true
    else
      states[i] = SHADOWED
    end
    at, key_at = at + 5, key_at + 1
  end
  if operation ~= CORRECT and operation ~= LEASE then
    for i = 1, count do
      local ask = asks[i]
      local algorithm = algorithms[ask.rule[1]]
      if operation == DECIDE then
        if not is_refused and states[i] == ALLOWED then
          algorithm.commit(ask.rule, ask)
        elseif states[i] ~= ALLOWED then
          algorithm.keep(ask.rule, ask)
        end
      end
      tell(ask.rule, ask, states[i])
    end
  end
end
write_words()
return cmsgpack.pack(said)
