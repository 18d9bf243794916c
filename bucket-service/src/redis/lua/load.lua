-- Fills an empty bucket: meta, journal group, and every round with its range. All or nothing.
--
-- KEYS  1 meta  2 journal  3 moves, then for each round: round, left, ranges, claims
-- ARGV  1 event  2 pack digest  3 epoch  4 consumer group, then for each round:
--       v, opensAt, closesAt, perUser, number of ranges, then lo and count of each range
-- Returns 1 loaded   0 this very load stands here already   -1 refused: prizes were given from here
local pack, seq, epoch = unpack(redis.call('HMGET', KEYS[1], 'pack', 'seq', 'epoch'))
if pack then
  if pack == ARGV[2] and epoch == ARGV[3] then return 0 end
  if tonumber(seq) ~= 0 then return -1 end
end
local position = 5
for i = 4, #KEYS, 4 do
  redis.call('DEL', KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3])
  local ranges = tonumber(ARGV[position + 4])
  local lo, count = '0', '0'
  for r = 1, ranges do
    local at = position + 3 + 2 * r
    if r == 1 then
      lo, count = ARGV[at], ARGV[at + 1]
    else
      redis.call('RPUSH', KEYS[i + 2], ARGV[at] .. ':' .. ARGV[at + 1])
    end
  end
  redis.call('HSET', KEYS[i], 'v', ARGV[position], 'opensAt', ARGV[position + 1], 'closesAt', ARGV[position + 2],
    'key', '', 'stock', '1', 'lo', lo, 'issued', '0', 'perUser', ARGV[position + 3])
  redis.call('SET', KEYS[i + 1], count)
  position = position + 5 + 2 * ranges
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[4], '0', 'MKSTREAM')
redis.call('HSET', KEYS[1], 'event', ARGV[1], 'pack', ARGV[2], 'epoch', ARGV[3], 'seq', '0', 'acked', '0')
return 1
