-- Finishes ends of one bucket whose hooks have run.
--
-- KEYS  1 due, then for each end: session, end, watch
-- ARGV  1 instance  2 time to live of a tombstone, ms, then for each end: id, claim
-- Reply {r1, r2, ...}: 1 acked, 0 the claim is no longer the holder's: nothing was done
--
-- Invariant: only the holder of the claim acks. Where other instances still
-- hold closures of the session, its record and end stay as a tombstone for them.
local out = {}
for i = 1, (#KEYS - 1) / 3 do
  local session, fin, watch = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local id, claim = ARGV[2 * i + 1], ARGV[2 * i + 2]
  out[i] = 0
  if redis.call('HGET', fin, 'by') == claim then
    redis.call('ZREM', KEYS[1], id)
    local watched = redis.call('EXISTS', watch) == 1
    if watched then
      redis.call('SREM', watch, ARGV[1])
      watched = redis.call('EXISTS', watch) == 1
    end
    if watched then
      redis.call('PEXPIRE', session, ARGV[2])
      redis.call('PEXPIRE', fin, ARGV[2])
      redis.call('PEXPIRE', watch, ARGV[2])
    else
      redis.call('DEL', session, fin)
    end
    out[i] = 1
  end
end
return out
