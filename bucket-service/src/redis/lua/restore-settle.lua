-- The last step that brings a lost win back: MySQL has the claim, so it counts as issued; or MySQL refused it, so its
-- place is free again. Safe to repeat: only the first call finds the mark. The mark of a win that came back stays, as `done`: so
-- one look at Redis tells which burned IDs count as issued.
--
-- KEYS  1 meta  2 round  3 claims  4 restores
-- ARGV  1 epoch that the caller knows  2 claim field  3 prize ID  4 "1" when MySQL has the claim
-- Returns 1 settled   0 was settled before
-- Errors  FENCED (another epoch)
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED another epoch') end
local mark = 'restore:' .. ARGV[3]
local note = redis.call('HGET', KEYS[4], mark)
if not note or note == 'done' then return 0 end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[4], mark, 'done')
  redis.call('HINCRBY', KEYS[2], 'issued', 1)
else
  redis.call('HDEL', KEYS[4], mark)
  if redis.call('HGET', KEYS[3], ARGV[2]) == ARGV[3] then redis.call('HDEL', KEYS[3], ARGV[2]) end
end
return 1
