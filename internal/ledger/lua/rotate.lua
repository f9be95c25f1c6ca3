-- Gives a live session a new secret. Its time to live stays as it is.
--
-- KEYS  1 session  2 live under the old secret  3 live under the new secret
-- ARGV  1 proof of the new secret
-- Reply 1 rotated, or rotated by an earlier sending of this very call
--       0 not live under the old secret
--
-- Invariant: at every moment exactly one secret is good. The record begins with
-- the proof; the rest of it is untouched, so a save is never undone by a rotation.
if redis.call('EXISTS', KEYS[2]) == 0 then
  return redis.call('EXISTS', KEYS[3])
end
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
redis.call('RENAME', KEYS[2], KEYS[3])
return 1
