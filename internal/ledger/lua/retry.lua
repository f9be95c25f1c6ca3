-- Moves an end from the dead set back to the due-index, to be claimed at once.
--
-- KEYS  1 due  2 dead  3 end  4 session  5 watch
-- ARGV  1 id  2 channel of the bucket
-- Reply 1 moved, 0 no such end in the dead set
--
-- Invariant: an end is in one of the two sets, never in both or neither. An entry of
-- the dead set that has no end is removed, and what is left of the session with it. An
-- entry that is due as well is removed from the dead set. Attempts and hooks done stay as
-- they are: the next claim goes on from there.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('DEL', KEYS[4], KEYS[5])
  return 0
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
