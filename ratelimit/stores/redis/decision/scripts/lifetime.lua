-- Lifetimes: what was charged and what was paid, and neither number falls. A refund is paid, and an undone
-- payment is charged; `back` is the part of both that is one of these. So used is charged less back.
--
-- A server may lose a key, and hosts remember what they last read of it. Each ask and correction brings that, as
-- a list: the generation, charged, paid and back; or 0. A key that is created has a generation of its own, the
-- instant, and begins with what is remembered: `from` says with how much. A host that remembers more of another
-- generation adds the difference. In the same generation nothing falls, so a host that remembers more has seen
-- what the server lost. In the script, as it must be done before the decision.
--
-- value: generation, charged, paid, back, `from` of these three, and the tokens of the last payments.
-- rule: kind, units, the most that may be paid in advance, and the most that may be used, with debt.

--> tell

said[saying + 1], said[saying + 2] = word[3], word.back
saying = saying + 2

--> seldom

local FORM, BEHIND, TOKEN, SIZE, TOKENS = '<I7I7I7', '<I7I7I7I7', '<I7', 49, 8

local function keep_balance(word)
  if word[1] == 0 then word[1] = now end
  word[4] = FOREVER
  word.behind = pack(BEHIND, word.back, word.from[1], word.from[2], word.from[3]) .. word.tokens
end

local function remembered(word, at, is_same, known, number)
  if is_same then return max(number, known) end
  local more = max(known - word.from[at], 0)
  word.from[at] = word.from[at] + more
  return number + more
end

local function recall(word, known)
  if type(known) ~= 'table' then return end
  if word[1] == 0 then word[1] = known[1] == now and now + 1 or now end
  local is_same = word[1] == known[1]
  local charged = remembered(word, 1, is_same, known[2], word[2])
  local paid = remembered(word, 2, is_same, known[3], word[3])
  local back = remembered(word, 3, is_same, known[4], word.back)
  if charged ~= word[2] or paid ~= word[3] or back ~= word.back then
    word[2], word[3], word.back = charged, paid, back
    keep_balance(word)
  end
end

local function balance_of(number, known)
  local word = words[number]
  if not word then
    --< text
    word = { 0, 0, 0, false, FORM, back = 0, from = { 0, 0, 0 }, tokens = '', behind = false }
    if text and #text >= SIZE then
      word[1], word[2], word[3] = unpack_bytes(FORM, text)
      word.back, word.from[1], word.from[2], word.from[3] = unpack_bytes(BEHIND, text, 22)
      word.tokens = string.sub(text, SIZE + 1)
    end
    words[number] = word
  end
  recall(word, known)
  return word
end

local lifetime = {}
algorithms[kind] = lifetime

function lifetime.check(rule, ask)
  local word = balance_of(ask.key, ask.mark)
  ask.word = word
  return word[2] + ask.cost <= rule[2] + word[3]
end

function lifetime.commit(rule, ask)
  if ask.cost == 0 then return end
  ask.word[2] = ask.word[2] + ask.cost
  keep_balance(ask.word)
end

local function is_done(tokens, token)
  for at = 1, #tokens, 7 do
    if unpack_bytes(TOKEN, tokens, at) == token then return true end
  end
  return false
end

-- mark: of a payment, or one that is undone, the number that it has so that it is done once; else 0.
-- mark2: what is remembered.
function lifetime.correct(rule, ask)
  local word, token, moved = balance_of(ask.key, ask.mark2), ask.mark, 0
  local net = word[2] - word[3]
  if token > 0 and is_done(word.tokens, token) then
    moved = ask.cost
  elseif ask.cost < 0 then
    moved = -min(-ask.cost, net + rule[3])
    word[3] = word[3] - moved
    if token == 0 then word.back = word.back - moved end
  else
    moved = max(min(net + ask.cost, rule[4]) - net, 0)
    word[2] = word[2] + moved
    if token > 0 then word.back = word.back + moved end
  end
  if moved ~= 0 then
    if token > 0 and not is_done(word.tokens, token) then
      word.tokens = pack(TOKEN, token) .. string.sub(word.tokens, 1, 7 * (TOKENS - 1))
    end
    keep_balance(word)
  end
  say(moved)
  say(word[1])
  say(word[2])
  say(word[3])
  say(word.back)
end
