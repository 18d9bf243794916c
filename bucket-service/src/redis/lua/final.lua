-- The conductor's word that nothing can come to a round's empty stock any more: from here on it is `ended`, and not `busy`.
-- It is said of one stock number, so stock that comes all the same makes it void.
--
-- KEYS  1 round  2 left  3 ranges
-- ARGV  1 stock number
-- Returns 1 the stock is empty and final   0 there is another stock by now, or it is not empty
-- Errors  LOST (the round is not loaded)
local stock = redis.call('HGET', KEYS[1], 'stock')
local left = redis.call('GET', KEYS[2])
if not (stock and left) then return redis.error_reply('LOST the round is not loaded') end
if stock ~= ARGV[1] or left ~= '0' or redis.call('LLEN', KEYS[3]) > 0 then return 0 end
redis.call('HSET', KEYS[1], 'final', stock)
return 1
