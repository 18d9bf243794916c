-- Puts prize IDs that MySQL has recorded behind the ranges of a round. The stock number grows, so every memory of an empty
-- stock (services, HAProxy, the word `final`) is out of date at once. A move that is noted already changes nothing.
--
-- KEYS  1 meta  2 round  3 ranges  4 moves
-- ARGV  1 epoch  2 highest seq that the caller has seen, then for each move, in the order of its ordinals in MySQL:
--       field of the note in moves, the note ("… lo:count …", see leave.lua)
-- Returns { number of moves that entered now, stock, number of notes in moves }
-- Errors  LOST, FENCED-SEQ, EPOCH as in leave.lua
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local stock = redis.call('HGET', KEYS[2], 'stock')
if not (meta[1] and meta[2] and stock) then return redis.error_reply('LOST bucket data is missing') end
if meta[1] ~= ARGV[1] then return redis.error_reply('EPOCH this bucket is of epoch ' .. meta[1]) end
if tonumber(meta[2]) < tonumber(ARGV[2]) then
  return redis.error_reply('FENCED-SEQ this Redis has seen ' .. meta[2] .. ' claims, the caller ' .. ARGV[2])
end
local entered = 0
for i = 3, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[4], ARGV[i], ARGV[i + 1]) == 1 then
    entered = entered + 1
    for run in string.gmatch(ARGV[i + 1], '%d+:%d+') do redis.call('RPUSH', KEYS[3], run) end
  end
end
if entered > 0 then
  stock = redis.call('HINCRBY', KEYS[2], 'stock', 1)
  redis.call('HDEL', KEYS[2], 'dryAt')
end
return { entered, tonumber(stock), redis.call('HLEN', KEYS[4]) }
