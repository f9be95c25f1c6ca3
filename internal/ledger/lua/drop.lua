-- Takes ends of one bucket out of the dead set for good.
--
-- KEYS  1 due  2 dead, then of n ends: n session, n end, n watch
-- ARGV  1 how many entries the dead set keeps at least  2 time to live of a tombstone, ms
--       3 drop only what was buried until then, Unix ms, '' for no such bound, then of each: n id
-- Reply {r1, r2, ...}: 1 dropped, 0 left alone, or no end belonged to the entry
--
-- Invariant: only what is in the dead set is dropped; an end that was moved back
-- meanwhile is not. Where other instances still hold closures of the session, its
-- record and end stay as a tombstone for them.
local n = (#KEYS - 2) / 3
local session, fin, watch = 2, 2 + n, 2 + 2 * n
local keep, ttl, latest = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local size = redis.call('ZCARD', KEYS[2])
local out = {}
for i = 1, n do
  out[i] = 0
  local id = ARGV[3 + i]
  local at = size > keep and redis.call('ZSCORE', KEYS[2], id)
  if at and (not latest or tonumber(at) <= latest) then
    local due = redis.call('ZSCORE', KEYS[1], id) -- of a key that is no due-index nothing is dropped
    redis.call('ZREM', KEYS[2], id)
    size = size - 1
    -- What is due as well is the due-index's.
    if not due then
      out[i] = redis.call('EXISTS', KEYS[fin + i])
      if out[i] == 1 and redis.call('EXISTS', KEYS[watch + i]) == 1 then
        redis.call('PEXPIRE', KEYS[session + i], ttl)
        redis.call('PEXPIRE', KEYS[fin + i], ttl)
        redis.call('PEXPIRE', KEYS[watch + i], ttl)
      else
        redis.call('DEL', KEYS[session + i], KEYS[fin + i], KEYS[watch + i])
      end
    end
  end
end
return out
