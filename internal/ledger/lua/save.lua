-- Replaces the record of a live session and prolongs it.
--
-- KEYS  1 due  2 session  3 live  4 live under the timeouts to be saved, the same key as 3
--       if those stay as they are
-- ARGV  1 id  2 record, which begins with the proof in KEYS[4]
--       3 'PX' or 'PXAT'  4 the live key's time to live, ms, or its end, Unix ms
--       5 channel of the bucket
-- Reply 1 saved now, or by the same call sent earlier
--       0 not live under this secret and these timeouts: ended, rotated, or others were saved
--
-- Invariant: nothing is written to an ended session. The due entry is never later than
-- the live key's deadline, whoever has moved it: with a later entry, nobody would notice
-- the end in time. When Redis is out of memory it refuses a script only at the script's
-- first write; here that is the live key's, so nothing is half done.
if redis.call('SET', KEYS[3], '1', 'XX', ARGV[3], ARGV[4]) then
  if KEYS[4] ~= KEYS[3] then redis.call('RENAME', KEYS[3], KEYS[4]) end
elseif KEYS[4] == KEYS[3] or not redis.call('SET', KEYS[4], '1', 'XX', ARGV[3], ARGV[4]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2])
local deadline = tonumber(ARGV[4])
if ARGV[3] == 'PX' then
  local t = redis.call('TIME')
  deadline = t[1] * 1000 + math.floor(t[2] / 1000) + deadline
end
if redis.call('ZADD', KEYS[1], 'LT', 'CH', string.format('%.0f', deadline), ARGV[1]) == 1
  and redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
return 1
