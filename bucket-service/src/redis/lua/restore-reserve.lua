-- The first of two steps that bring a lost win back: its place in the memory of who won, so that a grab of the same user
-- cannot take another prize meanwhile. MySQL decides between this and restore-settle. Safe to repeat.
--
-- KEYS  1 meta  2 claims  3 restores
-- ARGV  1 epoch that the caller knows  2 claim field  3 prize ID  4 note: what restore-settle needs after a crash
-- Returns 1 reserved, now or before   2 the claim stands here, whole   0 the field holds another prize
-- Errors  FENCED (another epoch)
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED another epoch') end
local held = redis.call('HGET', KEYS[2], ARGV[2])
if held and held ~= ARGV[3] then return 0 end
local mark = 'restore:' .. ARGV[3]
if held then
  local note = redis.call('HGET', KEYS[3], mark)
  return note and note ~= 'done' and 1 or 2
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], mark, ARGV[4])
-- Counted before MySQL has the row: a Redis that has issued less than MySQL holds would be fenced.
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HINCRBY', KEYS[1], 'acked', 1)
return 1
