-- Takes prize IDs that nobody has out of a round, for a move to another bucket or round. They are cut from the end of the
-- issue order, the lowest IDs of the last range first, so what was issued before keeps its place. Asked again for the same
-- move it changes nothing and shows what left then, also when that was nothing.
--
-- KEYS  1 meta  2 round  3 left  4 ranges  5 moves
-- ARGV  1 epoch  2 highest seq that the caller has seen  3 field of the note in moves  4 first words of the note
--       5 number of IDs wanted  6 runs at most  7 "1" the round must have closed, "0" it must not
-- Returns { 1 left now | 0 noted before | -1 the round has not closed yet, number of notes in moves, the note }
--   Note: the words of ARGV 4, then the runs "lo:count …". From a round that has closed against ARGV 7 nothing leaves.
-- Errors  LOST, FENCED-SEQ as in grab.lua, EPOCH (the bucket was loaded, rebuilt or fenced since the move was planned)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local round = redis.call('HMGET', KEYS[2], 'lo', 'closesAt')
local left = tonumber(redis.call('GET', KEYS[3]))
if not (meta[1] and meta[2] and round[1] and left) then
  return redis.error_reply('LOST bucket data is missing')
end
if meta[1] ~= ARGV[1] then return redis.error_reply('EPOCH this bucket is of epoch ' .. meta[1]) end
if tonumber(meta[2]) < tonumber(ARGV[2]) then
  return redis.error_reply('FENCED-SEQ this Redis has seen ' .. meta[2] .. ' claims, the caller ' .. ARGV[2])
end
local noted = redis.call('HGET', KEYS[5], ARGV[3])
if noted then return { 0, redis.call('HLEN', KEYS[5]), noted } end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local isClosed = (round[2] or '') ~= '' and nowMs >= tonumber(round[2])
if ARGV[7] == '1' and not isClosed then return { -1, redis.call('HLEN', KEYS[5]), '' } end

local wanted = tonumber(ARGV[5])
if ARGV[7] == '0' and isClosed then wanted = 0 end
local words = { ARGV[4] }
local function leaves(lo, count) words[#words + 1] = string.format('%.0f:%.0f', lo, count) end
while wanted > 0 and #words <= tonumber(ARGV[6]) do
  local last = redis.call('RPOP', KEYS[4])
  if last then
    local lo, count = string.match(last, '^(%d+):(%d+)$')
    lo, count = tonumber(lo), tonumber(count)
    local take = math.min(wanted, count)
    if take < count then redis.call('RPUSH', KEYS[4], string.format('%.0f:%.0f', lo + take, count - take)) end
    leaves(lo, take)
    wanted = wanted - take
  else
    local take = math.min(wanted, left)
    if take > 0 then
      local lo = tonumber(round[1])
      redis.call('HSET', KEYS[2], 'lo', string.format('%.0f', lo + take))
      redis.call('DECRBY', KEYS[3], take)
      leaves(lo, take)
    end
    break
  end
end
local note = table.concat(words, ' ')
redis.call('HSET', KEYS[5], ARGV[3], note)
return { 1, redis.call('HLEN', KEYS[5]), note }
