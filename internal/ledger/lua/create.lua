-- Begins a session.
--
-- KEYS  1 due  2 session  3 live
-- ARGV  1 id  2 record  3 idle timeout, ms  4 absolute deadline, Unix ms, 0 for none  5 channel of the bucket
-- Reply 1 begun now, or by the same call sent earlier
--       0 not begun: an ended session has the ID, or the deadline is over
--
-- Invariant: due entry, record and live key are created together. The due entry is
-- written first: when Redis is out of memory it refuses a script only at the script's
-- first write, and then nothing of the session exists.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[2]) == 1 then
  return redis.call('EXISTS', KEYS[3])
end
local ttl, deadline = tonumber(ARGV[3]), tonumber(ARGV[4])
if deadline > 0 and deadline - now < ttl then ttl = deadline - now end
if ttl <= 0 then return 0 end
-- The live key and the due entry get the same point in time. A time to live would count
-- from the moment at which the command runs, and if the server stalled before it, the
-- due entry would be too early.
local at = string.format('%.0f', now + ttl)
redis.call('ZADD', KEYS[1], at, ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], '1', 'PXAT', at) -- the first revision, see save.lua
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
return 1
