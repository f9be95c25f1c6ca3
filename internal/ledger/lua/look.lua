-- Looks at sessions of one bucket: moves the due entry of the live ones, ends
-- those whose live key is gone, and claims ends that nobody holds.
--
-- KEYS  1 due, then for each session: session, live, end, watch
-- ARGV  1 claim  2 lease, ms, then for each session: id, proof that its live key was named with, hint
--       hint: '' or what an event said of the live key, 'expired', 'evicted' or 'deleted'
-- Reply {now, r1, r2, ...}; r is one of
--       0          the due-index does not know the session: its end was acked
--       score      when it is next due; nothing to do before
--       {record or '', reason, at, left, attempt, done, watchers}   claimed by this call, or by an
--                  earlier sending of it; at in Unix ms, left ms of its time to live or -1
--
-- Invariant: a session whose live key exists is never ended here, whatever the
-- hint says; an end is claimed by one claim at a time, until its lease, which is
-- its score in the due-index, is over.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local claim, lease = ARGV[1], tonumber(ARGV[2])
local out = {now}
for i = 1, (#KEYS - 1) / 4 do
  local k, a = 4 * i - 2, 3 * i
  local session, live, fin, watch = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local id, proof, hint = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local score = tonumber(redis.call('ZSCORE', KEYS[1], id) or 0)
  local r = score
  if score > 0 then
    local e = redis.call('HMGET', fin, 'reason', 'at', 'left', 'attempt', 'done', 'by')
    local taken, record = false, nil
    if e[1] then
      if e[6] == claim then
        taken = true
      elseif score <= now then
        e[4] = e[4] + 1
        redis.call('ZADD', KEYS[1], now + lease, id)
        redis.call('HSET', fin, 'by', claim, 'attempt', e[4])
        taken = true
      end
    else
      record = redis.call('GET', session) or ''
      if record == '' then
        e = {'lost', now, -1, 1, ''}
      elseif proof ~= '' and string.sub(record, 1, #proof) == proof then
        local left = redis.call('PTTL', live)
        if left ~= -2 then
          -- Without a time to live (somebody's PERSIST) it is live all the same.
          if left < 0 then left = lease end
          r = now + left
          redis.call('ZADD', KEYS[1], r, id)
        else
          local at, reason = now, 'expired'
          if score <= now then at = score elseif hint ~= '' then reason = hint end
          e = {reason, at, -1, 1, ''}
        end
      end
      if e[1] then
        redis.call('ZADD', KEYS[1], now + lease, id)
        redis.call('HSET', fin, 'reason', e[1], 'at', e[2], 'left', -1, 'attempt', 1, 'by', claim)
        if record == '' then redis.call('DEL', live) end
        taken = true
      end
    end
    if taken then
      r = {record or redis.call('GET', session) or '', e[1], e[2], e[3], e[4], e[5] or '', redis.call('SMEMBERS', watch)}
    end
  end
  out[i + 1] = r
end
return out
