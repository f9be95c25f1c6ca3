-- Notes that an instance no longer holds closures of sessions of one bucket.
--
-- KEYS  1 due, 2 dead, then for each session: session, end, watch
-- ARGV  1 instance  2 for how long to remember an end for its visitor, ms, 0 for not at all,
--       then for each session: id
-- Reply number of tombstones removed
--
-- Invariant: a tombstone is removed with the last instance that needs it. An end that is
-- not acked, and so is in the due-index or the dead set, is left alone. So is a watch that
-- something else has overwritten. In place of a tombstone stays what past returns.
local removed = 0
for i = 1, (#KEYS - 2) / 3 do
  local session, fin, watch = KEYS[3 * i], KEYS[3 * i + 1], KEYS[3 * i + 2]
  local id = ARGV[i + 2]
  if redis.pcall('SREM', watch, ARGV[1]) == 1 and redis.call('EXISTS', watch) == 0
    and redis.call('EXISTS', fin) == 1
    and not redis.call('ZSCORE', KEYS[1], id) and not redis.call('ZSCORE', KEYS[2], id) then
    local bytes
    if tonumber(ARGV[2]) > 0 then
      local e = redis.pcall('HMGET', fin, 'reason', 'at', 'seen') -- fails if the end was overwritten
      if not e.err then bytes = past(redis.call('MGET', session)[1], e[1], e[2], e[3]) end
    end
    redis.call('DEL', session, fin)
    if bytes then redis.call('SET', session, bytes, 'PX', ARGV[2]) end
    removed = removed + 1
  end
end
return removed
