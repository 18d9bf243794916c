-- Takes entries that MySQL has committed out of the journal. Safe to repeat: an entry counts once. A journal of another epoch
-- is left alone: after a rebuild an old entry's ID may name a new one.
--
-- KEYS  1 meta  2 journal
-- ARGV  1 consumer group  2 epoch of the entries  3.. pairs of entry ID and number of claims in it
-- Returns the number of claims that were taken out by this call
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[2] and epoch ~= 'fenced:' .. ARGV[2] then return 0 end
local acked = 0
for i = 3, #ARGV, 2 do
  redis.call('XACK', KEYS[2], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
    acked = acked + tonumber(ARGV[i + 1])
  end
end
if acked > 0 then redis.call('HINCRBY', KEYS[1], 'acked', acked) end
return acked
