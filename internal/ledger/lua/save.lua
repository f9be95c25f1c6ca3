-- Replaces the record of a live session and prolongs it; with an empty record it
-- only sets the session's time to live to what its timeouts say.
--
-- KEYS  1 due  2 session  3 live
-- ARGV  1 id  2 record, or ''  3 'PX' or 'PXAT'  4 the live key's time to live, ms, or its end, Unix ms
--       5 channel of the bucket
-- Reply 1 saved, 0 not live under this secret: ended, or rotated meanwhile
--
-- Invariant: an ended session is never written to. The due entry stays a lower
-- bound of the live key's deadline: another request may have made that later, and
-- the entry with it. Out of memory, Redis refuses a script at its first write
-- only; that is the live key's here, so nothing is half done.
local left = redis.call('PTTL', KEYS[3])
if not redis.call('SET', KEYS[3], '1', 'XX', ARGV[3], ARGV[4]) then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
if ARGV[3] == 'PXAT' or left < 0 or left > tonumber(ARGV[4]) then
  local deadline = tonumber(ARGV[4])
  if ARGV[3] == 'PX' then
    local t = redis.call('TIME')
    deadline = t[1] * 1000 + math.floor(t[2] / 1000) + deadline
  end
  redis.call('ZADD', KEYS[1], 'XX', 'LT', deadline, ARGV[1])
  if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
    redis.call('PUBLISH', ARGV[5], ARGV[1])
  end
end
return 1
