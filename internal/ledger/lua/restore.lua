-- Takes back that a request has prolonged a session.
--
-- KEYS  1 due  2 live
-- ARGV  1 id  2 by how much the request has prolonged it, ms
--       3 the earliest time at which the request can have made it end, Unix ms
--       4 the longest time to live that the request's can have left by now, ms
--       5 channel of the bucket
-- Reply 1 taken back now, or by the same call sent earlier
--       0 nothing was done: not live, or another request has prolonged it since
--
-- Invariant: nothing is prolonged, and nothing that another request has prolonged later is
-- shortened. The due entry is never later than the live key's deadline; it is written first,
-- so that no end is noticed late when Redis is out of memory.
local left = redis.call('PTTL', KEYS[2])
if left < 0 then return 0 end
if left > tonumber(ARGV[4]) then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if now + left < tonumber(ARGV[3]) then return 1 end
-- A millisecond may have passed between the commands that have read and prolonged it.
left = math.max(left - ARGV[2] - 1, 1)
local at = string.format('%.0f', now + left)
if redis.call('ZADD', KEYS[1], 'LT', 'CH', at, ARGV[1]) == 1
  and redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
redis.call('PEXPIRE', KEYS[2], left)
return 1
