-- Replaces the record of a live session and prolongs it; with an empty record it
-- only sets the session's time to live to what its timeouts say.
--
-- KEYS  1 due  2 session  3 live
-- ARGV  1 id  2 record, or ''  3 idle timeout, ms  4 absolute deadline, Unix ms, 0 for none
--       5 '1' if the timeouts may have become shorter  6 channel of the bucket
-- Reply {now, 1} saved  {now, 0} not live under this secret: ended, or rotated meanwhile
--
-- Invariant: an ended session is never written to. The due entry stays a lower
-- bound of the live key's deadline.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[3]) == 0 then return {now, 0} end
local ttl, deadline = tonumber(ARGV[3]), tonumber(ARGV[4])
if deadline > 0 and deadline - now < ttl then ttl = deadline - now end
if ttl < 1 then ttl = 1 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
redis.call('PEXPIRE', KEYS[3], ttl)
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[1], 'XX', 'LT', now + ttl, ARGV[1])
  if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
    redis.call('PUBLISH', ARGV[6], ARGV[1])
  end
end
return {now, 1}
