-- Ends a rebuild in one step: rounds and their stock, moves, journal, and last the meta record that makes it usable.
--
-- KEYS  1 meta  2 journal  3 moves  4 restores, then for each round: round, left, ranges, claims
-- ARGV  1 token of this filling  2 event  3 pack digest  4 epoch  5 generation  6 consumer group
--       7 number of claims in all rounds  8 number of moves, then field and note of each (moves/note.ts); then for each round:
--       v, opensAt, closesAt, perUser, stock, issued, number of ranges, then lo and count of each range
-- Returns 1 done   0 this very epoch stands here already
-- Errors  STALE (another rebuild fills this Redis now), MISSING (not all claims are here)
local meta = redis.call('HMGET', KEYS[1], 'filling', 'epoch')
if meta[2] == ARGV[4] then return 0 end
if meta[1] ~= ARGV[1] then return redis.error_reply('STALE another rebuild fills this Redis') end
local position = 9 + 2 * tonumber(ARGV[8])
for i = 5, #KEYS, 4 do
  local held = redis.call('HLEN', KEYS[i + 3])
  if held ~= tonumber(ARGV[position + 5]) then
    return redis.error_reply('MISSING ' .. KEYS[i + 3] .. ' holds ' .. held .. ' claims, expected ' .. ARGV[position + 5])
  end
  position = position + 7 + 2 * tonumber(ARGV[position + 6])
end
position = 9 + 2 * tonumber(ARGV[8])
for i = 5, #KEYS, 4 do
  local ranges = tonumber(ARGV[position + 6])
  local lo, count = '0', '0'
  redis.call('DEL', KEYS[i], KEYS[i + 1], KEYS[i + 2])
  for r = 1, ranges do
    local at = position + 5 + 2 * r
    if r == 1 then
      lo, count = ARGV[at], ARGV[at + 1]
    else
      redis.call('RPUSH', KEYS[i + 2], ARGV[at] .. ':' .. ARGV[at + 1])
    end
  end
  redis.call('HSET', KEYS[i], 'v', ARGV[position], 'opensAt', ARGV[position + 1], 'closesAt', ARGV[position + 2],
    'key', '', 'perUser', ARGV[position + 3], 'stock', ARGV[position + 4], 'issued', ARGV[position + 5], 'lo', lo)
  redis.call('SET', KEYS[i + 1], count)
  position = position + 7 + 2 * ranges
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
for m = 1, tonumber(ARGV[8]) do redis.call('HSET', KEYS[3], ARGV[7 + 2 * m], ARGV[8 + 2 * m]) end
redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[6], '0', 'MKSTREAM')
redis.call('HSET', KEYS[1], 'event', ARGV[2], 'pack', ARGV[3], 'epoch', ARGV[4], 'generation', ARGV[5],
  'seq', ARGV[7], 'acked', ARGV[7])
return 1
