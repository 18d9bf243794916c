-- Takes entries that MySQL has committed out of the journal, and tells whoever waits for commits how far they have come. Safe to
-- repeat: an entry counts once. A journal of another epoch is left alone: after a rebuild an old entry's ID may name a new one.
--
-- KEYS  1 meta  2 journal
-- ARGV  1 consumer group  2 epoch of the entries  3 channel  4.. pairs of entry ID and number of claims in it
-- Returns the number of claims that were taken out by this call. Publishes an entry ID: every one before it is committed.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[2] and epoch ~= 'fenced:' .. ARGV[2] then return 0 end
local acked = 0
for i = 4, #ARGV, 2 do
  redis.call('XACK', KEYS[2], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
    acked = acked + tonumber(ARGV[i + 1])
  end
end
if acked > 0 then redis.call('HINCRBY', KEYS[1], 'acked', acked) end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if first then
  redis.call('PUBLISH', ARGV[3], first[1])
else
  -- An empty journal: all that it ever held, and not what enters it while this word is on its way.
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local ms, seq = string.match(info[i + 1], '^(%d+)-(%d+)$')
      redis.call('PUBLISH', ARGV[3], ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
    end
  end
end
return acked
