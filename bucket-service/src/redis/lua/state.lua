-- One consistent look at the bucket: meta, clock, every round's record, stock and counters, and the journal if wanted.
--
-- KEYS  1 meta  2 journal  3 moves  4 restores, then for each round: round, left, ranges, claims
-- ARGV  1 "1" all notes of moves and all marks of restored wins are wanted too   "2" and the whole journal (journalMax bounds it)
-- Returns { time in ms, epoch, seq, acked, pack, { { entry ID, packed claims } … }, number of notes in moves,
--           { field, note … }, { mark, note … }, for each round:
--           { v, opensAt, closesAt, key, stock, lo, left, issued, perUser, number of claims, final, dryAt,
--             waiting ranges "lo:count" … } }
--   A round that is not there is an empty list; epoch is "" when nothing is loaded.
local time = redis.call('TIME')
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'acked', 'pack')
local journal = {}
local moves = {}
local restores = {}
if ARGV[1] ~= '0' then
  moves = redis.call('HGETALL', KEYS[3])
  restores = redis.call('HGETALL', KEYS[4])
end
if ARGV[1] == '2' then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do journal[#journal + 1] = { entry[1], entry[2][2] } end
end
local answer = {
  time[1] * 1000 + math.floor(time[2] / 1000), meta[1] or '', meta[2] or '', meta[3] or '', meta[4] or '', journal,
  redis.call('HLEN', KEYS[3]), moves, restores,
}
for i = 5, #KEYS, 4 do
  local record = redis.call('HMGET', KEYS[i], 'v', 'opensAt', 'closesAt', 'key', 'stock', 'lo', 'issued', 'perUser',
    'final', 'dryAt')
  local left = redis.call('GET', KEYS[i + 1])
  local one = {}
  if record[1] and left then
    one = { record[1], record[2], record[3], record[4], record[5], record[6], left, record[7], record[8],
      tostring(redis.call('HLEN', KEYS[i + 3])), record[9] or '', record[10] or '' }
    for _, range in ipairs(redis.call('LRANGE', KEYS[i + 2], 0, -1)) do one[#one + 1] = range end
  end
  answer[#answer + 1] = one
end
return answer
