-- Items: an operation, how many asks, and five numbers an ask: its rule, its cost, whether a
-- refusal binds, and two marks of the rule's own. A lease has seven: its rule, the units wanted,
-- what part of the room may be had at most, the units kept and returned, their mark, and how long it runs.

local function tell(algorithm, rule, ask, state)
  say(state)
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

local only_words = true
for i = 1, #rules do
  local rule = rules[i]
  rule.algorithm = algorithm_of(rule[1])
  if rule.algorithm.begin then rule.algorithm.begin(rule) end
  only_words = only_words and rule[1] <= 3
end
if only_words and #KEYS > 0 and #rules > 0 then read_words() end

local at, key_at, last = 1, 1, #items
local asks, states = {}, {}  -- of one item after another
while at <= last do
  local count = items[at + 1]
  operation = items[at]
  at = at + 2
  if operation == LEASE then
    local rule = rules[items[at] + 1]
    rule.algorithm.lease(rule, {
      key = KEYS[key_at], want = items[at + 1], divisor = items[at + 2], kept = items[at + 3],
      returned = items[at + 4], mark = items[at + 5], horizon = items[at + 6],
    })
    at, key_at, count = at + 7, key_at + 1, 0
  end
  local is_refused = false
  for i = 1, count do
    local rule = rules[items[at] + 1]
    local ask = asks[i]
    if not ask then
      ask = {}
      asks[i] = ask
    end
    ask.key, ask.cost, ask.mark, ask.mark2 = KEYS[key_at], items[at + 1], items[at + 3], items[at + 4]
    ask.rule, ask.is_charged, ask.ends = rule, false, nil
    if operation == CORRECT then
      rule.algorithm.correct(rule, ask)
    elseif rule.algorithm.check(rule, ask) then
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
      local rule = ask.rule
      local algorithm = rule.algorithm
      if operation == DECIDE then
        if not is_refused and states[i] == ALLOWED then
          algorithm.commit(rule, ask)
        elseif states[i] ~= ALLOWED then
          algorithm.keep(rule, ask)
        end
      end
      tell(algorithm, rule, ask, states[i])
    end
  end
end
write_words()
return cmsgpack.pack(said)
