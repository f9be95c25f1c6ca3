-- Ends a live session at the request of a caller.
--
-- KEYS  1 due  2 session  3 live  4 end  5 watch
-- ARGV  1 id  2 proof that KEYS[3] was named with  3 reason  4 claim, '' to leave the end unclaimed
--       5 lease, ms  6 channel of the bucket
-- Reply {now, 1, claimed}  ended by this call, or, with a claim, by the same call sent earlier;
--                          claimed as in the reply of look.lua, absent if ARGV[4] is ''
--       {now, 0}           not live: ended before, or its time is over
--       {now, -1}          the secret was rotated: read the record again and repeat
--
-- Invariant: the end is one transition. The step that deletes the live key also writes
-- the end, and the due entry leads to it until it is acked. The live key is deleted
-- first: when Redis is out of memory it refuses a script only at the script's first
-- write, and it never refuses to delete. A logout must work then.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local e = redis.call('HMGET', KEYS[4], 'reason', 'at', 'left', 'by')
if not e[1] then
  local proof = redis.call('GETRANGE', KEYS[2], 0, #ARGV[2] - 1)
  if proof == '' then return {now, 0} end
  if proof ~= ARGV[2] then return {now, -1} end
  local left = redis.call('PTTL', KEYS[3])
  if left == -2 then return {now, 0} end
  local next = now
  if ARGV[4] ~= '' then next = now + ARGV[5] end
  redis.call('DEL', KEYS[3])
  redis.call('ZADD', KEYS[1], next, ARGV[1])
  redis.call('HSET', KEYS[4], 'reason', ARGV[3], 'at', now, 'left', left, 'attempt', ARGV[4] ~= '' and 1 or 0, 'by', ARGV[4])
  e = {ARGV[3], now, left, ARGV[4]}
elseif ARGV[4] == '' or e[4] ~= ARGV[4] then
  return {now, 0}
end
if ARGV[4] == '' then
  redis.call('PUBLISH', ARGV[6], ARGV[1])
  return {now, 1}
end
local watchers = redis.pcall('SMEMBERS', KEYS[5])
if watchers.err then watchers = {} end -- overwritten by something else: it names nobody
return {now, 1, {redis.call('GET', KEYS[2]), e[1], e[2], e[3], 1, '', watchers}}
