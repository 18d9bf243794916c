-- One request's claim: once per user, the pop, the claim and its journal entry in one atomic step, as Hongbao promises it.
--
-- KEYS  1 left  2 claims  3 journal
-- ARGV  1 user
-- Returns the prize ID; 0 when the stock is empty
-- Errors  LOST (the counter is missing: never "sold out")
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return tonumber(known) end
local left = redis.call('GET', KEYS[1])
if not left then return redis.error_reply('LOST the stock is missing') end
if tonumber(left) <= 0 then return 0 end
local id = redis.call('DECR', KEYS[1]) + 1
redis.call('HSET', KEYS[2], ARGV[1], id)
redis.call('XADD', KEYS[3], '*', 'p', id, 'u', ARGV[1])
return id
