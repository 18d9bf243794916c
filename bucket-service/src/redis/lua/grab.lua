-- Gives prizes of one round to everyone who waits, in one atomic step: known claims are repeated, the others share the
-- pop, and claim and journal are written together. Asking again with the same fields changes nothing.
--
-- KEYS  1 meta  2 round  3 left  4 ranges  5 claims  6 journal
-- ARGV  1 round ID  2 key  3 journalMax  4 epoch that the caller knows  5 highest seq that the caller has seen
--       6 "1" when the caller waits for MySQL and needs the journal's end
--       7 claim fields (user or user#n), with a space between: one argument costs both sides less than one for each
-- Returns { seq, stock, journal end or "", answer for each field, with a space between }
--   answer  > 0 the prize ID   0 the stock is empty for good   -1 the journal is full   -2 not open, or another key
--           -3 closed   -4 the prize before it (n - 1) was not won   -5 the stock is empty, but some may come yet
-- An empty stock is so for good when the conductor said so of this very stock number (`final`), or when nothing came for
-- DRY_MS since it was first found empty (`dryAt`).
-- Errors  LOST (a key is missing: never "sold out"), FENCED (of another epoch: rebuilt, or marked by fence.lua),
--         FENCED-SEQ (this Redis went back in time)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'acked')
local round = redis.call('HMGET', KEYS[2], 'opensAt', 'closesAt', 'key', 'lo', 'stock', 'final', 'dryAt')
local left = redis.call('GET', KEYS[3])
if not (meta[1] and meta[2] and meta[3] and round[4] and round[5] and left) then
  return redis.error_reply('LOST bucket data is missing')
end
local seq = tonumber(meta[2])
if meta[1] ~= ARGV[4] then return redis.error_reply('FENCED this Redis is of another epoch') end
if seq < tonumber(ARGV[5]) then
  return redis.error_reply('FENCED-SEQ this Redis has seen ' .. seq .. ' claims, the caller ' .. ARGV[5])
end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local refusal = false
if round[1] == '' or nowMs < tonumber(round[1]) or round[3] == '' or round[3] ~= ARGV[2] then
  refusal = -2
elseif round[2] ~= '' and nowMs >= tonumber(round[2]) then
  refusal = -3
end

local DRY_MS = 2000
local fields = {}
for field in string.gmatch(ARGV[7], '[^ ]+') do fields[#fields + 1] = field end
local known = redis.call('HMGET', KEYS[5], unpack(fields))
local answers = {}  -- of each field: a prize ID as text, or a code
local journalEnd = ''
local wanted = {}   -- positions that want a new prize
local position = {} -- field → where its answer stands, so that a field that stands twice is one claim
local again = {}    -- position → the earlier one with the same field
for i = 1, #fields do
  local field = fields[i]
  if known[i] then
    answers[i] = known[i]
  elseif refusal then
    answers[i] = refusal
  elseif position[field] then
    again[i] = position[field]
    answers[i] = 0
  else
    local user, n = string.match(field, '^(.-)#(%d+)$')
    n = tonumber(n)
    local before = n and (n == 2 and user or user .. '#' .. (n - 1))
    if before and not position[before] and redis.call('HEXISTS', KEYS[5], before) == 0 then
      answers[i] = -4
    else
      position[field] = i
      wanted[#wanted + 1] = i
      answers[i] = 0
    end
  end
end

local room = tonumber(ARGV[3]) - (seq - tonumber(meta[3]))
local take = math.max(0, math.min(#wanted, room))
for w = take + 1, #wanted do
  answers[wanted[w]] = -1
end

left = tonumber(left)
local given = 0
local lo = tonumber(round[4])
while given < take do
  if left == 0 then
    local nextRange = redis.call('LPOP', KEYS[4])
    if not nextRange then break end
    local rangeLo, rangeCount = string.match(nextRange, '^(%d+):(%d+)$')
    lo, left = tonumber(rangeLo), tonumber(rangeCount)
    redis.call('HSET', KEYS[2], 'lo', rangeLo)
    redis.call('SET', KEYS[3], rangeCount)
  end
  local count = math.min(take - given, left)
  if count > 0 then
    left = redis.call('DECRBY', KEYS[3], count)
    -- IDs are issued from the top of the range down to its lowest.
    local high = lo + left + count - 1
    local claims, winners = {}, {}
    for c = 1, count do
      local i = wanted[given + c]
      local id = string.format('%.0f', high - c + 1)
      answers[i] = id
      winners[c] = fields[i]
      claims[2 * c - 1] = fields[i]
      claims[2 * c] = id
    end
    redis.call('HSET', KEYS[5], unpack(claims))
    journalEnd = redis.call('XADD', KEYS[6], '*', 'c', string.format('%s %.0f %.0f %d ', ARGV[1], nowMs, high, count)
      .. table.concat(winners, ' '), 'e', ARGV[4])
    given = given + count
  end
end
if given > 0 then
  seq = redis.call('HINCRBY', KEYS[1], 'seq', given)
  redis.call('HINCRBY', KEYS[2], 'issued', given)
end
-- Who met an empty stock has 0, as the loop above has preset it; the journal bound has set -1.
if given < take and round[6] ~= round[5] then
  local dryAt = tonumber(round[7]) or nowMs
  if not round[7] then redis.call('HSET', KEYS[2], 'dryAt', string.format('%.0f', nowMs)) end
  if nowMs - dryAt < DRY_MS then
    for w = given + 1, take do answers[wanted[w]] = -5 end
  end
end

for i, earlier in pairs(again) do answers[i] = answers[earlier] end
if ARGV[6] == '1' and journalEnd == '' then
  local last = redis.call('XREVRANGE', KEYS[6], '+', '-', 'COUNT', 1)
  if last[1] then journalEnd = last[1][1] end
end
return { seq, tonumber(round[5]), journalEnd, table.concat(answers, ' ') }
