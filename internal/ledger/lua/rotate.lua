-- Gives a live session a new secret.
--
-- KEYS  1 session  2 live under the old secret  3 live under the new secret
-- ARGV  1 proof of the new secret  2 idle timeout, ms  3 absolute deadline, Unix ms, 0 for none
-- Reply {now, 1} rotated, or rotated by an earlier sending of this very call
--       {now, 0} not live under the old secret
--
-- Invariant: at every moment exactly one secret is good. The record begins with
-- the proof; the rest of it is untouched, so a save is never undone by a rotation.
-- The due entry stays: RENAME keeps the time to live and a rotation only prolongs it.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {now, redis.call('EXISTS', KEYS[3])}
end
local ttl, deadline = tonumber(ARGV[2]), tonumber(ARGV[3])
if deadline > 0 and deadline - now < ttl then ttl = deadline - now end
if ttl < 1 then ttl = 1 end
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
redis.call('RENAME', KEYS[2], KEYS[3])
redis.call('PEXPIRE', KEYS[3], ttl)
return {now, 1}
