-- Puts off the looks at sessions of one bucket that are due, or whose entry has a time
-- that lifecycle cannot have written.
--
-- KEYS  1 due
-- ARGV  1 for how long, ms  2 the latest possible time of an entry, Unix ms, then of each: id
-- Reply number of entries put off
--
-- Invariant: no entry is added or removed. A lease that somebody has got since stays as
-- it is, and so does the deadline of a live session.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at = string.format('%.0f', now + ARGV[1])
local latest, moved = tonumber(ARGV[2]), 0
for i = 3, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score then
    score = tonumber(score) or -1
    if score <= now or score > latest then
      redis.call('ZADD', KEYS[1], 'XX', at, ARGV[i])
      moved = moved + 1
    end
  end
end
return moved
