-- Puts off the looks at sessions of one bucket that are due, or due at a time that
-- nobody of ours has written.
--
-- KEYS  1 due
-- ARGV  1 for how long, ms  2 when an entry can be due at the latest, Unix ms, then of each: id
-- Reply number of entries put off
--
-- Invariant: an entry neither comes nor goes. A lease that somebody has got meanwhile
-- stands, and so does the deadline of a live session.
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
