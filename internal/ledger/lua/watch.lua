-- Notes that an instance holds closures of a live session.
--
-- KEYS  1 live  2 watch
-- ARGV  1 instance
-- Reply 1 noted, 0 the session is not live: nothing was noted
--
-- Invariant: an end that is written later finds the instance in the watch.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
return 1
