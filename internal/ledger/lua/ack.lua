-- Finishes ends of one bucket whose hooks have succeeded.
--
-- KEYS  1 due, then of n ends: n session, n end, n watch
-- ARGV  1 instance  2 time to live of a tombstone, ms
--       3 for how long to remember an end for its visitor, ms, 0 for not at all,
--       then of each: n id, n claim
-- Reply {r1, r2, ...}: 1 acked, 0 the caller no longer has the claim: nothing was done
--
-- Invariant: only the holder of the claim acks. If other instances still hold closures
-- of the session, its record and end stay as a tombstone for them. Otherwise the end goes,
-- and the record is deleted, or replaced by what past returns. A watch that something else
-- has overwritten names nobody, and is deleted. The script begins by deleting, so it works
-- without memory; what it remembers takes less than what it has deleted.
local n = (#KEYS - 1) / 3
local session, fin, watch = 1, 1 + n, 1 + 2 * n
local id, claim = 3, 3 + n

local out, acked, gone, kept = {}, {}, {}, {}
local watches = redis.call('EXISTS', unpack(KEYS, watch + 1, watch + n)) > 0
local records
if tonumber(ARGV[3]) > 0 then records = redis.call('MGET', unpack(KEYS, session + 1, session + n)) end
for i = 1, n do
  out[i] = 0
  local e = redis.call('HMGET', KEYS[fin + i], 'by', 'reason', 'at', 'seen')
  if e[1] == ARGV[claim + i] then
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
      local bytes = records and past(records[i], e[2], e[3], e[4])
      if bytes then kept[#kept + 1] = {i, bytes} end
    end
  end
end
if #acked > 0 then redis.call('ZREM', KEYS[1], unpack(acked)) end
if #gone > 0 then redis.call('DEL', unpack(gone)) end
for _, k in ipairs(kept) do
  local i = k[1]
  redis.call('SET', KEYS[session + i], k[2], 'PX', ARGV[3])
end
return out
