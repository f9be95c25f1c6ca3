-- Gives a claim back. After a delay, the next instance that looks may claim the end.
--
-- KEYS  1 due  2 end  3 watch
-- ARGV  1 id  2 claim  3 delay, ms  4 attempts so far  5 hooks done  6 error text, '' if none have run
--       7 channel of the bucket  8 instance
-- Reply 1 given back, 0 the caller no longer has the claim: nothing was done
--
-- If hooks have run, the holder has run its closures of the session too, so it is taken
-- off the watch. Otherwise the text of the last error stays. A watch that something else
-- has overwritten names nobody, and is left alone.
if redis.call('HGET', KEYS[2], 'by') ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], 'by', '', 'attempt', ARGV[4], 'done', ARGV[5])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'error', ARGV[6])
  redis.pcall('SREM', KEYS[3], ARGV[8])
end
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[7], ARGV[1])
end
return 1
