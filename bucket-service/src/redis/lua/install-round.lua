-- Puts a newer version of a round's times and key in place: a compare-and-set on the round's version, so that a
-- conductor that was frozen and wakes with old news does no harm.
--
-- KEYS  1 round
-- ARGV  1 v  2 opensAt (ms or "")  3 closesAt (ms or "")  4 key or ""
-- Returns { 1, v } applied   { 0, v } stood there already   { -1, v } refused, v is the version in place
-- Errors  LOST (the round is not loaded)
local old = redis.call('HMGET', KEYS[1], 'v', 'opensAt', 'closesAt', 'key')
if not old[1] then return redis.error_reply('LOST the round is not loaded') end
local v = tonumber(old[1])
if tonumber(ARGV[1]) > v then
  redis.call('HSET', KEYS[1], 'v', ARGV[1], 'opensAt', ARGV[2], 'closesAt', ARGV[3], 'key', ARGV[4])
  return { 1, tonumber(ARGV[1]) }
end
if tonumber(ARGV[1]) == v and old[2] == ARGV[2] and old[3] == ARGV[3] and old[4] == ARGV[4] then
  return { 0, v }
end
return { -1, v }
