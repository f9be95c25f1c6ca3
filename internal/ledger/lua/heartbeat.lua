-- Notes that an instance is alive, and returns all that are.
--
-- KEYS  1 instances  2 instances that only serve
-- ARGV  1 instance  2 how long a heartbeat counts, ms  3 the key of the instance, 1 or 2
-- Reply {now, {instance, ...}, {instance that only serves, ...}}, every instance whose last
--       heartbeat counts
--
-- Invariant: an instance without a heartbeat for longer than that is removed.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local own = tonumber(ARGV[3])
redis.call('ZADD', KEYS[own], now, ARGV[1])
local out = {now}
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - ARGV[2])
  -- Entries from a server whose clock was ahead.
  redis.call('ZREMRANGEBYSCORE', KEYS[i], now + ARGV[2], '+inf')
  out[#out + 1] = redis.call('ZRANGE', KEYS[i], 0, -1)
end
return out
