-- Finishes ends of one bucket whose hooks have succeeded.
--
-- KEYS  1 due, then of n ends: n session, n end, n watch
-- ARGV  1 instance  2 time to live of a tombstone, ms, then of each: n id, n claim
-- Reply {r1, r2, ...}: 1 acked, 0 the caller no longer has the claim: nothing was done
--
-- Invariant: only the holder of the claim acks. If other instances still hold closures
-- of the session, its record and end stay as a tombstone for them. A watch that
-- something else has overwritten names nobody, and is deleted.
local n = (#KEYS - 1) / 3
local session, fin, watch = 1, 1 + n, 1 + 2 * n
local id, claim = 2, 2 + n

local out, acked, gone = {}, {}, {}
local watches = redis.call('EXISTS', unpack(KEYS, watch + 1, watch + n)) > 0
for i = 1, n do
  out[i] = 0
  if redis.call('HGET', KEYS[fin + i], 'by') == ARGV[claim + i] then
    out[i] = 1
    acked[#acked + 1] = ARGV[id + i]
    local watched = watches and redis.call('EXISTS', KEYS[watch + i]) == 1
    if watched then
      if type(redis.pcall('SREM', KEYS[watch + i], ARGV[1])) == 'table' then
        redis.call('DEL', KEYS[watch + i])
      end
      watched = redis.call('EXISTS', KEYS[watch + i]) == 1
    end
    if watched then
      redis.call('PEXPIRE', KEYS[session + i], ARGV[2])
      redis.call('PEXPIRE', KEYS[fin + i], ARGV[2])
      redis.call('PEXPIRE', KEYS[watch + i], ARGV[2])
    else
      gone[#gone + 1] = KEYS[session + i]
      gone[#gone + 1] = KEYS[fin + i]
    end
  end
end
if #acked > 0 then redis.call('ZREM', KEYS[1], unpack(acked)) end
if #gone > 0 then redis.call('DEL', unpack(gone)) end
return out
