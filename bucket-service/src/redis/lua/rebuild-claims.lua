-- Puts persisted claims of one round back. Safe to repeat.
--
-- KEYS  1 meta  2 claims
-- ARGV  1 token of this filling  2.. pairs of claim field and prize ID
-- Returns the number of pairs
-- Errors  STALE (another rebuild fills this Redis now, or has filled it)
if redis.call('HGET', KEYS[1], 'filling') ~= ARGV[1] then
  return redis.error_reply('STALE another rebuild fills this Redis')
end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return (#ARGV - 1) / 2
