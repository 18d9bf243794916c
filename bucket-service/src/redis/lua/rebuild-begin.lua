-- Empties a bucket's Redis for a rebuild. From here until rebuild-finish nobody can use it: it has no epoch.
--
-- KEYS  1 meta  2 journal  3 moves  4 restores, then for each round: round, left, ranges, claims
-- ARGV  1 token of this filling  2 the epoch that will stand here  3 its generation (each rebuild has a higher one)
-- Returns 1 emptied   0 this very epoch stands here already, whole
-- Errors  STALE (a later rebuild was here)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if tonumber(meta[2] or '0') > tonumber(ARGV[3]) then return redis.error_reply('STALE a later rebuild was here') end
if meta[1] == ARGV[2] then return 0 end
for i = 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('HSET', KEYS[1], 'filling', ARGV[1], 'generation', ARGV[3])
return 1
