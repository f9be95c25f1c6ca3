-- Takes ends of one bucket out of the dead set for good.
--
-- KEYS  1 due  2 dead, then of n ends: n session, n end, n watch
-- ARGV  1 how many entries the dead set keeps at least  2 time to live of a tombstone, ms
--       3 drop only what was buried until then, Unix ms, '' for no such bound
--       4 for how long to remember an end for its visitor, ms, 0 for not at all, then of each: n id
-- Reply {r1, r2, ...}: 1 dropped, 0 left alone, or the entry had no end
--
-- Invariant: an end is dropped only if it is in the dead set; one that was moved back
-- to the due-index since is not. If other instances still hold closures of the session,
-- its record and end stay as a tombstone for them. Otherwise the record is deleted, or
-- replaced by what past returns.
local n = (#KEYS - 2) / 3
local session, fin, watch = 2, 2 + n, 2 + 2 * n
local keep, ttl, latest, remember = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local size = redis.call('ZCARD', KEYS[2])
local out = {}
for i = 1, n do
  out[i] = 0
  local id = ARGV[4 + i]
  local at = size > keep and redis.call('ZSCORE', KEYS[2], id)
  if at and (not latest or tonumber(at) <= latest) then
    local due = redis.call('ZSCORE', KEYS[1], id) -- fails if the due-index was overwritten: nothing is dropped
    redis.call('ZREM', KEYS[2], id)
    size = size - 1
    -- An end that is due as well belongs to the due-index.
    if not due then
      out[i] = redis.call('EXISTS', KEYS[fin + i])
      if out[i] == 1 and redis.call('EXISTS', KEYS[watch + i]) == 1 then
        redis.call('PEXPIRE', KEYS[session + i], ttl)
        redis.call('PEXPIRE', KEYS[fin + i], ttl)
        redis.call('PEXPIRE', KEYS[watch + i], ttl)
      else
        local bytes
        if out[i] == 1 and remember > 0 then
          local e = redis.pcall('HMGET', KEYS[fin + i], 'reason', 'at', 'seen') -- fails if the end was overwritten
          if not e.err then bytes = past(redis.call('MGET', KEYS[session + i])[1], e[1], e[2], e[3]) end
        end
        redis.call('DEL', KEYS[session + i], KEYS[fin + i], KEYS[watch + i])
        if bytes then redis.call('SET', KEYS[session + i], bytes, 'PX', remember) end
      end
    end
  end
end
return out
