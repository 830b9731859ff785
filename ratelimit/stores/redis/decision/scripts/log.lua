-- Exact sliding log: one record an admitted charge, in a hash.
-- rule: kind, units, period in us, most records
--
-- Fields: u what all records cost, f the first record's number, n how many there are. Each record
-- has a field under its number: its time and cost. Times ascend. Whatever call adds a record
-- removes those that are over, so a look costs what has expired since then.
--
-- A log that expired, or was lost, is begun anew with other numbers. For a refund that comes late
-- names a record of the log before, and must not find another charge under that number. They
-- follow from the time in tenths of a millisecond, which no log's records outrun, and take five bytes.

--> seldom

local RECORD, RECORD_SIZE = '<I7I5', 12
local MOST_RECORDS = 20000  -- of any rule, and those that settling adds

local function first_number() return floor(now / 100) % 2147483647 + 1 end

local function record_of(key, number)
  local text = call('HGET', key, number)
  if not text or #text ~= RECORD_SIZE then return 0, 0 end
  return unpack_bytes(RECORD, text)
end

local function open_log(rule, key)
  local fields = pcall_redis('HMGET', key, 'u', 'f', 'n')
  local used, kept, count = tonumber(fields[1]), tonumber(fields[2]), tonumber(fields[3])
  if fields.err or not (used and kept and count and count >= 0 and count <= MOST_RECORDS) then
    if fields.err or fields[1] then call('DEL', key) end  -- not what this script writes
    used, kept, count = 0, first_number(), 0
  end
  local log = { used = used, kept = kept, next = kept + count }
  local newest = 0
  if log.next > log.kept then newest = record_of(key, log.next - 1) end
  log.first, log.at = log.kept, max(now, newest)
  log.is_stepped = newest > now + rule[3] + STEP
  if log.is_stepped then
    log.used = min(log.used, rule[2])
    return log
  end
  while log.first < log.next do
    local time, cost = record_of(key, log.first)
    if time + rule[3] > log.at then break end
    log.used = log.used - cost
    log.first = log.first + 1
  end
  return log
end

-- Remove the records that are over: only with a new one, since time may still step back a little.
local function prune(key, log)
  for number = log.kept, log.first - 1 do call('HDEL', key, number) end
  log.kept = log.first
end

-- The newest record that is in use says when the log is empty again.
local function reset_of(rule, key, log)
  if log.used == 0 then return 0 end
  if log.is_stepped then return rule[3] end
  for number = log.next - 1, log.first, -1 do
    local time, cost = record_of(key, number)
    if cost > 0 then return time + rule[3] - now end
  end
  return 0
end

local function append(rule, key, log, cost)
  if log.is_stepped then
    -- After a clock step one record stands for all that was in use.
    local used = log.used
    call('DEL', key)
    log.used, log.kept, log.first, log.at, log.is_stepped = 0, log.next, log.next, now, false
    if used > 0 then append(rule, key, log, used) end
    if cost == 0 then return log.next - 1 end
  end
  prune(key, log)
  local number = log.next
  log.next, log.used = number + 1, log.used + cost
  call('HSET', key, 'u', log.used, 'f', log.first, 'n', log.next - log.first, number, pack(RECORD, log.at, cost))
  call('PEXPIRE', key, ttl_of(log.at + rule[3]))
  return number
end

algorithms[kind] = {
  check = function(rule, ask)
    local log = open_log(rule, KEYS[ask.key])
    -- After a clock step, once: it must not have to be believed again.
    if log.is_stepped and operation == DECIDE then append(rule, KEYS[ask.key], log, 0) end
    ask.log = log
    ask.remaining = max(rule[2] - log.used, 0)
    ask.reset = reset_of(rule, KEYS[ask.key], log)
    ask.retry = 0
    if ask.cost > rule[2] then
      ask.retry = NEVER
      return false
    end
    if log.is_stepped then
      if log.used + ask.cost <= rule[2] then return true end
      ask.retry = rule[3]
      return false
    end
    local need = log.used + ask.cost - rule[2]
    if need > 0 then
      local freed = 0
      for number = log.first, log.next - 1 do
        local time, cost = record_of(KEYS[ask.key], number)
        freed = freed + cost
        if freed >= need then
          ask.retry = time + rule[3] - now
          break
        end
      end
      return false
    end
    if ask.cost > 0 and log.next - log.first >= rule[4] then
      -- Room in units, none in records: refunds left empty ones behind.
      ask.retry = record_of(KEYS[ask.key], log.first) + rule[3] - now
      return false
    end
    return true
  end,
  commit = function(rule, ask)
    if ask.cost == 0 then return end
    ask.mark = append(rule, KEYS[ask.key], ask.log, ask.cost)
    ask.remaining = max(rule[2] - ask.log.used, 0)
    ask.reset = ask.log.at + rule[3] - now
    ask.is_charged = true
  end,
  -- mark: the charge's record; mark2: the record that settling added, plus one. That one is changed
  -- as long as it counts: however often a charge is settled, it takes two records a window at most.
  correct = function(rule, ask)
    local key = KEYS[ask.key]
    local log = open_log(rule, key)
    local moved, added = 0, ask.mark2

    local function change(number, units)
      local time, cost = record_of(key, number)
      units = max(units, -cost)
      if units ~= 0 then call('HSET', key, number, pack(RECORD, time, cost + units)) end
      moved = moved + units
    end

    local function counts(number)
      return not log.is_stepped and number >= log.first and number < log.next
    end

    if ask.cost > 0 then
      local room = min(ask.cost, max(rule[5] - log.used, 0))
      if room > 0 and counts(added - 1) then
        change(added - 1, room)
      elseif room > 0 and not log.is_stepped and log.next - log.first >= rule[4] then
        -- No place: it counts with the newest record, which may be another charge's, and stays.
        change(log.next - 1, room)
        added = 0
      elseif room > 0 then
        moved, added = room, append(rule, key, log, room) + 1
        say(moved)
        say(added)
        return
      end
    elseif ask.cost < 0 then
      -- What settling added goes first.
      if counts(added - 1) then change(added - 1, ask.cost) end
      if moved > ask.cost and counts(ask.mark) then change(ask.mark, ask.cost - moved) end
    end
    if moved ~= 0 then call('HINCRBY', key, 'u', moved) end
    say(moved)
    say(added)
  end,
}
