-- Gives a live session a new secret. Its time to live stays as it is.
--
-- KEYS  1 session  2 live under the old secret  3 live under the new secret
-- ARGV  1 proof of the new secret  2 proof of the old secret alone
--       3 for how long the old secret is remembered, ms, 0 for not at all
-- Reply {1, r} rotated now, or by the same call sent earlier; r is the content of the
--              record's rotated field
--       {0}    not live under the old secret
--
-- Invariant: at every moment exactly one secret is good. A rotation changes only the
-- proof, the format and the rotated field of the record, so it never undoes a save. The
-- rotated field gives nobody any rights. See package record for the layout.
local PROOF, HEAD, PLAIN, ROTATED, ONE, MOST = 16, 23, 4, 5, 22, 4

local record = redis.call('GET', KEYS[1]) or ''
local format = string.byte(record, PROOF + 1)
local remembered, rest = '', HEAD + 1
if format == ROTATED then
  local n = string.byte(record, rest) or 0
  remembered = string.sub(record, rest + 1, rest + n)
  rest = rest + 1 + n
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[3]) == 0 then return {0} end
  return {1, remembered}
end
if format ~= PLAIN and format ~= ROTATED then return {0} end
if tonumber(ARGV[3]) > 0 then
  local t = redis.call('TIME')
  local untilMs = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3]
  local packed = ''
  for _ = 1, 6 do
    packed = string.char(untilMs % 256) .. packed
    untilMs = math.floor(untilMs / 256)
  end
  remembered = string.sub(ARGV[2] .. packed .. remembered, 1, ONE * MOST)
end
local field = ''
if remembered ~= '' then
  format = ROTATED
  field = string.char(#remembered) .. remembered
end
redis.call('SET', KEYS[1], ARGV[1] .. string.char(format) .. string.sub(record, PROOF + 2, HEAD) .. field .. string.sub(record, rest))
redis.call('RENAME', KEYS[2], KEYS[3])
return {1, remembered}
