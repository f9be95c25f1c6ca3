-- Replaces the record of a live session and prolongs the session. The value of the live key
-- is the record's revision: each save writes another one.
--
-- KEYS  1 due  2 session  3 live  4 live under the timeouts to be saved, the same key as 3
--       if those stay as they are
-- ARGV  1 id  2 record, which begins with the proof in KEYS[4]
--       3 'PX' or 'PXAT'  4 the live key's time to live, ms, or its end, Unix ms; or
--       3 'KEEPTTL'       4 '': the time to live stays as it is
--       5 channel of the bucket
--       6 revision of the record that this one was made from  7 its own revision
--       8 when the session needs a look at the latest, Unix ms; not after the end in 4
--       9 channel of all instances if the idle timeout becomes shorter, else ''
-- Reply 1 saved now, or by the same call sent earlier
--       0 not live under this secret and these timeouts: ended, rotated, or others were saved
--       {revision, record} another save came between: nothing was written, but the session
--       is prolonged, for the caller tries again
--
-- Invariant: nothing is written to an ended session, and no save overwrites one that its
-- caller has not seen. The due entry is never later than the live key's deadline, whoever
-- has moved it: with a later entry, nobody would notice the end in time. When Redis is out of
-- memory it refuses a script only at the script's first write; here that is the live key's,
-- so nothing is half done. One call reads the live key and writes it, because calling a
-- command costs more than running it; where the revision is another one it is put back.
local live, option = KEYS[3], ARGV[3]
local before
for _ = 1, KEYS[4] == live and 1 or 2 do
  if option == 'KEEPTTL' then
    before = redis.pcall('SET', live, ARGV[7], 'XX', 'GET', option)
  else
    before = redis.pcall('SET', live, ARGV[7], 'XX', 'GET', option, ARGV[4])
  end
  if type(before) == 'table' then
    -- A live key of another type was overwritten by something else, and counts as gone.
    if not string.find(before.err, 'WRONGTYPE', 1, true) then return before end
    before = false
  end
  if before then break end
  live = KEYS[4]
end
if not before then return 0 end
if before ~= ARGV[6] then
  redis.call('SET', live, before, 'XX', 'KEEPTTL') -- not if its end was in the past: then it is gone
  local record = redis.call('GET', KEYS[2]) or ''
  if before == ARGV[7] and record == ARGV[2] then return 1 end
  return {before, record}
end
if live ~= KEYS[4] then
  local moved = redis.pcall('RENAME', live, KEYS[4])
  -- With an absolute deadline that is over by now Redis has deleted the live key at once.
  if moved.err and not string.find(moved.err, 'no such key', 1, true) then return moved end
end
redis.call('SET', KEYS[2], ARGV[2])
if option ~= 'KEEPTTL' and redis.call('ZADD', KEYS[1], 'LT', 'CH', ARGV[8], ARGV[1]) == 1
  and redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
if ARGV[9] ~= '' then redis.call('PUBLISH', ARGV[9], 'shorter ' .. ARGV[1]) end
return 1
