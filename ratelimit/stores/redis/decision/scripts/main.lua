-- Items: an operation, how many asks, and five numbers an ask. They are its rule, its key and its cost.
-- A decision adds whether a refusal binds and a mark of the rule's own, a correction two marks. A lease
-- has nine. The first are its rule, its key, the units wanted, what part of the room may be had at
-- most. Then come the units kept and returned, their mark, how long it runs, and the second mark of a
-- correction. The mark is the window, or until when the last answer said they run.

local first_item, last = RULES + given[3], #given

-- Rules come as text, whose values a table takes at once. A list in the payload would grow value by value.
local only_words = true
for i = RULES, first_item - 1 do
  local rule = { unpack_values(given[i]) }
  given[i] = rule
  only_words = only_words and rule[1] < BLOCKS
end
if only_words and #KEYS > 0 and first_item > RULES then texts = call('MGET', unpack(KEYS)) end

local at, is_common = first_item, only_words
local asks, states = { false, false, false, false }, { 0, 0, 0, 0 }  -- of one item after another
while at <= last do
  operation = given[at]
  if not begin and (operation >= CORRECT or not is_common) then
    algorithms = {}
    --< begin
  end
  local count, first_ask = given[at + 1], at + 2
  at = first_ask
  if operation == LEASE then
    local rule = given[RULES + given[at]]
    local algorithm = algorithms[rule[1]] or begin(rule[1])
    algorithm.lease(rule, {
      key = given[at + 1], want = given[at + 2], divisor = given[at + 3], kept = given[at + 4],
      returned = given[at + 5], mark = given[at + 6], horizon = given[at + 7], mark2 = given[at + 8],
    })
    at = at + 9
  elseif operation == CORRECT then
    local rule = given[RULES + given[at]]
    local algorithm = algorithms[rule[1]] or begin(rule[1])
    algorithm.correct(rule, {
      key = given[at + 1], cost = given[at + 2], mark = given[at + 3], mark2 = given[at + 4],
    })
    at = at + 5
  else
    -- Is there room? A word is left with what it would be; of others an ask is.
    local is_refused = false
    for i = 1, count do
      local rule, number, cost = given[RULES + given[at]], given[at + 1], given[at + 2]
      local kind = rule[1]
      local ask, has_room
      --< ask
      if not ask then
        is_common = false
        if not begin then break end
        ask = {
          algorithm = algorithms[kind] or begin(kind), key = number, cost = cost, mark = given[at + 4],
          word = false, first = 0, second = 0, is_charged = false, ends = false,
          remaining = 0, reset = 0, retry = 0,
        }
        has_room = ask.algorithm.check(rule, ask)
      end
      asks[i] = ask
      if has_room then
        states[i] = ALLOWED
      elseif given[at + 3] == 1 then
        states[i] = REFUSED
        is_refused = true
      else
        states[i] = SHADOWED
      end
      at = at + 5
    end
    -- Charge, and tell; or ask once more, with what few calls need.
    local is_again = not begin and not is_common
    at = is_again and first_ask - 2 or first_ask
    for i = 1, is_again and 0 or count do
      local ask, state = asks[i], states[i]
      local rule, cost = given[RULES + given[at]], given[at + 2]
      local kind, algorithm, word = rule[1], ask.algorithm, ask
      local is_kept = operation == DECIDE and (state ~= ALLOWED or (cost == 0 and not algorithm and not is_refused))
      if operation == DECIDE and not is_refused and not is_kept then
        if algorithm then
          algorithm.commit(rule, ask)
        else
          word[1], word[2], word[3], word[4] = word[6], word[7], word[8], word[9]
        end
      end
      if algorithm then word = ask.word end
      said[saying + 1] = state
      if kind >= BLOCKS then
        said[saying + 2], said[saying + 3], said[saying + 4] = ask.remaining, ask.reset, ask.retry
        said[saying + 5], said[saying + 6] = ask.mark, ask.is_charged and 1 or 0
        said[saying + 7] = ask.ends and ask.ends / 1000000 or 0
        saying = saying + 7
      else
        said[saying + 2], said[saying + 3] = word[1], word[2]
        saying = saying + 3
        --< tell
      end
      -- Of a window that is not charged, what is left of it counts on though it was not asked for.
      if is_kept then
        if algorithm then
          if algorithm.keep then algorithm.keep(rule, ask) end
        else
          --< keep
        end
      end
      at = at + 5
    end
  end
end

for number = 1, #KEYS do
  local word = words[number]
  if word and word[4] then
    local text = pack(word[5], word[1], word[2], word[3])
    if word.behind then text = text .. word.behind end
    if word[4] < FOREVER then
      call('SET', KEYS[number], text, 'PX', max(floor((word[4] - now) / 1000) + 1, least_ttl))
    else
      call('SET', KEYS[number], text)
    end
  end
end
return cmsgpack.pack(said)
