-- Moves an end whose hooks have failed too often to the dead set.
--
-- KEYS  1 due  2 dead  3 end  4 watch
-- ARGV  1 id  2 claim  3 attempts  4 hooks done  5 error text  6 instance
-- Reply 1 buried, 0 the caller no longer has the claim: nothing was done
--
-- Invariant: an end is in the due-index or in the dead set, never in both or
-- neither, until it is acked or dropped. Its record stays. The holder has run its
-- closures of the session, so it is taken off the watch. A watch that something else
-- has overwritten names nobody, and is left alone.
if redis.call('HGET', KEYS[3], 'by') ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HSET', KEYS[3], 'by', '', 'attempt', ARGV[3], 'done', ARGV[4], 'error', ARGV[5])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.pcall('SREM', KEYS[4], ARGV[6])
return 1
