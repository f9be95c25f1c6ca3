-- Looks at sessions of one bucket: moves the due entry of the live ones, ends those
-- whose live key is gone or whose absolute deadline, which is in the record, is over,
-- and claims ends that nobody holds.
--
-- KEYS  1 due, then of n sessions: n session, n live, n end, n watch
-- ARGV  1 claim  2 lease, ms, then of each: n id, n proof that its live key was named with, n hint
--       hint: '' or what an event said of the live key, 'expired', 'evicted' or 'deleted'
-- Reply {now, r1, r2, ...}; r is one of
--       0          the due-index has no entry of the session: its end was acked
--       score      when it is next due; nothing to do before
--       {record or '', reason, at, left, attempt, done, watchers}   claimed by this call, or by
--                  the same call sent earlier; at in Unix ms, left ms of its time to live or -1
--
-- Invariant: a session whose live key exists is never ended here before its absolute
-- deadline, whatever the hint is, and never lives beyond it, whatever the live key's time
-- to live is. One claim at a time has an end, until its lease is over; the lease is the
-- end's score in the due-index. The due entries are written first: when Redis is out of
-- memory it refuses a script only at the script's first write.
local n = (#KEYS - 1) / 4
local session, live, fin, watch = 1, 1 + n, 1 + 2 * n, 1 + 3 * n
local id, proof, hint = 2, 2 + n, 2 + 2 * n
local claim, lease = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local leased = string.format('%.0f', now + lease)

-- Calling a command costs more than running it, so one call serves all sessions where
-- that is possible. When many sessions end at once, no key of the next two calls exists.
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, id + 1, id + n))
local lives = redis.call('EXISTS', unpack(KEYS, live + 1, live + n)) > 0
local ends = redis.call('EXISTS', unpack(KEYS, fin + 1, fin + n)) > 0

local out, entries = {now}, {}
-- Returns the absolute deadline in a session's record, 0 for none; see package record for
-- the layout. A record with another proof does not belong to the live key.
local function absolute(i)
  local head = redis.call('GETRANGE', KEYS[session + i], 0, 22)
  if #head < 23 or string.sub(head, 1, 16) ~= ARGV[proof + i] or (string.byte(head, 17) ~= 4 and string.byte(head, 17) ~= 5) then return 0 end
  local at = 0
  for k = 18, 23 do at = at * 256 + string.byte(head, k) end
  return at
end
local function due(i, at)
  entries[#entries + 1] = at
  entries[#entries + 1] = ARGV[id + i]
end

-- Which sessions are live, and which ends may be claimed.
local open, records = {}, {}
for i = 1, n do
  local score = tonumber(scores[i] or 0)
  out[1 + i] = score
  if score > 0 then
    local e, left = {}, -2
    if ends then e = redis.call('HMGET', KEYS[fin + i], 'reason', 'at', 'left', 'attempt', 'done', 'by') end
    if lives and not e[1] and ARGV[proof + i] ~= '' then left = redis.call('PTTL', KEYS[live + i]) end
    local over
    if left ~= -2 then
      local last = absolute(i)
      if last > 0 and last <= now then
        over, left = last, -2
        redis.call('DEL', KEYS[live + i])
      elseif last > 0 and (left < 0 or left > last - now) then
        left = last - now
        redis.call('PEXPIRE', KEYS[live + i], left)
      end
    end
    if left ~= -2 then
      -- Without a time to live (somebody called PERSIST) the session is live all the same.
      if left < 0 then left = lease end
      out[1 + i] = now + left
      due(i, now + left)
    elseif not e[1] or e[6] == claim or score <= now then
      open[#open + 1] = {i = i, reason = e[1], at = e[2], left = e[3], attempt = e[4], done = e[5], by = e[6], over = over}
      records[#records + 1] = KEYS[session + i]
    end
  end
end

-- Which sessions end now. If the secret was rotated after the name of the live key was
-- made, the session is left to another look.
if #open > 0 then records = redis.call('MGET', unpack(records)) end
-- A look that comes late notes when it was: see past.lua, which has the same SLACK.
local claimed, SLACK = {}, 50
for j, e in ipairs(open) do
  local i, record, key = e.i, records[j] or '', ARGV[proof + e.i]
  if not e.reason then
    e.at, e.left, e.attempt, e.begins = now, '-1', '1', true
    if string.byte(record, 17) == 6 then
      -- The end was acked, and this is what is remembered of it; something else has
      -- written the due entry.
      redis.call('ZREM', KEYS[1], ARGV[id + i])
      out[1 + i] = 0
    elseif record == '' then
      e.reason = 'lost'
    elseif key ~= '' and string.sub(record, 1, #key) == key then
      e.reason = 'expired'
      if e.over then
        e.at = string.format('%.0f', e.over)
      elseif out[1 + i] <= now then
        e.at = scores[i]
        if now - out[1 + i] > SLACK then e.seen = now end
      elseif ARGV[hint + i] ~= '' then
        e.reason = ARGV[hint + i]
      end
    end
  elseif e.by ~= claim then
    -- A number that cannot be one of attempts was written by something else, and counts as 0.
    local before = tonumber(e.attempt) or 0
    e.attempt = (before >= 0 and before < 1000000) and before + 1 or 1
  end
  if e.reason then
    if e.by ~= claim then due(i, leased) end
    e.record = record
    claimed[#claimed + 1] = e
  end
end

if #entries > 0 then redis.call('ZADD', KEYS[1], unpack(entries)) end
local watches = #claimed > 0 and redis.call('EXISTS', unpack(KEYS, watch + 1, watch + n)) > 0
for _, e in ipairs(claimed) do
  local i, watchers = e.i, {}
  if e.begins then
    redis.call('HSET', KEYS[fin + i], 'reason', e.reason, 'at', e.at, 'left', e.left, 'attempt', e.attempt, 'by', claim)
    if e.seen then redis.call('HSET', KEYS[fin + i], 'seen', e.seen) end
    if e.reason == 'lost' then redis.call('DEL', KEYS[live + i]) end
  elseif e.by ~= claim then
    redis.call('HSET', KEYS[fin + i], 'by', claim, 'attempt', e.attempt)
  end
  -- A watch of another type was overwritten by something else, and names nobody.
  if watches then watchers = redis.pcall('SMEMBERS', KEYS[watch + i]) end
  if watchers.err then watchers = {} end
  out[1 + i] = {e.record, e.reason, e.at, e.left, e.attempt, e.done or '', watchers}
end
return out
