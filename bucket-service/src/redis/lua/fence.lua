-- Marks a Redis that went back in time, so that no process of the bucket uses it again: the epoch that grab.lua compares
-- becomes one that nobody knows. Only a rebuild takes the mark away.
--
-- KEYS  1 meta
-- ARGV  1 the epoch that the caller has seen here ("" when there was none)  2 why, for people
-- Returns 1 marked   0 not: the mark stands already, or this is not the copy that the caller has seen
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
if epoch ~= ARGV[1] or string.sub(epoch, 1, 7) == 'fenced:' then return 0 end
redis.call('HSET', KEYS[1], 'epoch', 'fenced:' .. epoch, 'fence', ARGV[2])
return 1
