-- Renews the leases of claims of one bucket.
--
-- KEYS  1 due, then for each claim: end
-- ARGV  1 lease, ms, then for each claim: id, claim
-- Reply {r1, r2, ...}: 1 renewed, 0 the caller no longer has the claim: nothing was done
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local out = {}
for i = 1, #KEYS - 1 do
  local id, claim = ARGV[2 * i], ARGV[2 * i + 1]
  out[i] = 0
  if redis.call('HGET', KEYS[i + 1], 'by') == claim then
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], id)
    out[i] = 1
  end
end
return out
