-- Notes that an instance is alive, and returns all that are.
--
-- KEYS  1 instances
-- ARGV  1 instance, with its mark if it only serves  2 how long a heartbeat counts, ms
-- Reply {now, instance, ...}, every instance whose last heartbeat counts
--
-- Invariant: an instance without a heartbeat for longer than that is removed.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
-- Entries from a server whose clock was ahead.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + ARGV[2], '+inf')
local out = redis.call('ZRANGE', KEYS[1], 0, -1)
table.insert(out, 1, now)
return out
