-- Items: an operation, how many asks, and five numbers an ask: its rule, its key, its cost, and for a
-- decision whether a refusal binds and a mark of the rule's own, for a correction two marks. A lease
-- has eight: its rule, its key, the units wanted, what part of the room may be had at most, the units
-- kept and returned, their mark (the window, or until when the last answer said they run), and how
-- long it runs.

function whole(kind)
  local algorithm = algorithms[kind] or begin(kind)
  if algorithm.rest then algorithm.rest() end
  return algorithm
end

local first_item, last = RULES + given[3], #given

local only_words = true
for i = RULES, first_item - 1 do
  only_words = only_words and given[i][1] <= SLIDING
end
if only_words and #KEYS > 0 and first_item > RULES then texts = call('MGET', unpack(KEYS)) end

local at = first_item
local asks, states = { false, false, false, false }, { 0, 0, 0, 0 }  -- of one item after another
while at <= last do
  operation = given[at]
  local count = given[at + 1]
  at = at + 2
  if operation == LEASE then
    local rule = given[RULES + given[at]]
    whole(rule[1]).lease(rule, {
      key = given[at + 1], want = given[at + 2], divisor = given[at + 3], kept = given[at + 4],
      returned = given[at + 5], mark = given[at + 6], horizon = given[at + 7],
    })
    at = at + 8
  elseif operation == CORRECT then
    local rule = given[RULES + given[at]]
    whole(rule[1]).correct(rule, {
      key = given[at + 1], cost = given[at + 2], mark = given[at + 3], mark2 = given[at + 4],
    })
    at = at + 5
  else
    local is_refused = false
    for i = 1, count do
      local rule = given[RULES + given[at]]
      local algorithm = algorithms[rule[1]] or begin(rule[1])
      local ask = asks[i]
      if not ask then
        ask = {
          rule = false, algorithm = false, key = 0, cost = 0, mark = 0, word = false,
          first = 0, second = 0, third = 0, until_us = 0, is_charged = false, ends = false,
        }
        asks[i] = ask
      end
      ask.rule, ask.algorithm, ask.is_charged, ask.ends = rule, algorithm, false, false
      ask.key, ask.cost, ask.mark = given[at + 1], given[at + 2], given[at + 4]
      if algorithm.check(rule, ask) then
        states[i] = ALLOWED
      elseif given[at + 3] == 1 then
        states[i] = REFUSED
        is_refused = true
      else
        states[i] = SHADOWED
      end
      at = at + 5
    end
    for i = 1, count do
      local ask, state = asks[i], states[i]
      local rule, algorithm, word = ask.rule, ask.algorithm, ask.word
      local kind = rule[1]
      local is_kept = operation == DECIDE and state ~= ALLOWED
      if operation == DECIDE and not is_refused and not is_kept then
        if algorithm.commit then
          algorithm.commit(rule, ask)
          word = ask.word
        elseif ask.cost > 0 then
          word[1], word[2], word[3], word[4] = ask.first, ask.second, ask.third, ask.until_us
        else
          is_kept = true
        end
      end
      said[saying + 1] = state
      if kind > SLIDING then
        said[saying + 2], said[saying + 3], said[saying + 4] = ask.remaining, ask.reset, ask.retry
        said[saying + 5], said[saying + 6] = ask.mark, ask.is_charged and 1 or 0
        said[saying + 7] = ask.ends and ask.ends / 1000000 or 0
        saying = saying + 7
      else
        said[saying + 2], said[saying + 3] = word[1], word[2]
        saying = saying + 3
        if kind == FIXED then
          saying = saying + 1
          said[saying] = ask.first
        elseif kind == SLIDING then
          said[saying + 1], said[saying + 2] = word[3], ask.first
          saying = saying + 2
        end
      end
      if is_kept and algorithm.keep then algorithm.keep(rule, ask) end
    end
  end
end

for number = 1, #KEYS do
  local word = words[number]
  if word and word[4] then
    local text = pack(word[5], word[1], word[2], word[3])
    if word.leases then text = text .. algorithms[BUCKET].packed(word.leases) end
    call('SET', KEYS[number], text, 'PX', ttl_of(word[4]))
  end
end
return cmsgpack.pack(said)
