-- Begins a session.
--
-- KEYS  1 due  2 session  3 live
-- ARGV  1 id  2 record  3 idle timeout, ms  4 absolute deadline, Unix ms, 0 for none  5 channel of the bucket
-- Reply 1 begun, or begun by an earlier sending of this very call
--       0 not begun: the ID is taken by an ended session, or the deadline is over
--
-- Invariant: due entry, record and live key come into being together. The due
-- entry is written first: out of memory, Redis refuses a script at its first
-- write only, and nothing of the session must exist then.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[2]) == 1 then
  return redis.call('EXISTS', KEYS[3])
end
local ttl, deadline = tonumber(ARGV[3]), tonumber(ARGV[4])
if deadline > 0 and deadline - now < ttl then ttl = deadline - now end
if ttl <= 0 then return 0 end
-- One point in time for both: a time to live would count from when the command
-- runs, and a stall of the server before it would make the due entry too early.
local at = string.format('%.0f', now + ttl)
redis.call('ZADD', KEYS[1], at, ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], '1', 'PXAT', at)
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
return 1
