-- Appends released ranges to a round's stock. A range is named by its ordinal in MySQL; the highest one that entered is
-- noted, so that a repeated call appends only what is new.
--
-- KEYS  1 meta  2 round  3 ranges  4 restores
-- ARGV  1 epoch that the caller knows  2 round ID  3.. ordinal, lo, count of each range, in order
-- Returns the number of ranges appended
-- Errors  FENCED (another epoch), LOST (the round is missing)
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED another epoch') end
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.error_reply('LOST the round is missing') end
local note = 'release:' .. ARGV[2]
local entered = tonumber(redis.call('HGET', KEYS[4], note) or '0')
local appended = 0
for i = 3, #ARGV, 3 do
  if tonumber(ARGV[i]) > entered then
    redis.call('RPUSH', KEYS[3], ARGV[i + 1] .. ':' .. ARGV[i + 2])
    entered = tonumber(ARGV[i])
    appended = appended + 1
  end
end
if appended > 0 then
  redis.call('HSET', KEYS[4], note, entered)
  -- New stock: every memory of "ended" is of an older number.
  redis.call('HINCRBY', KEYS[2], 'stock', 1)
end
return appended
