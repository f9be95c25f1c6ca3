-- Returns what is remembered of an ended session for the visitor who still has its token; see
-- past.go for the layout. reason, at and seen are those of the end, the times in Unix ms. It
-- returns nil where nothing is remembered: the record is not one of the formats 4 and 5, or the
-- session was found to have expired before its idle timeout could be over. No request has
-- prolonged such a session, so its token never came back, and robots would fill the memory. See
-- package record for the layout of a record.
--
-- at is a lower bound: requests do not move the due entry. A look that was late has left the
-- time at which it found the session gone in seen. By then a request may have prolonged it.
--
-- This text stands in front of the scripts that use it; see scripts.go.
local function past(record, reason, at, seen)
  local PROOF, HEAD, PLAIN, ROTATED, SLACK = 16, 23, 4, 5, 50
  local format = record and string.byte(record, PROOF + 1)
  if not reason or #(record or '') < HEAD or (format ~= PLAIN and format ~= ROTATED) then return nil end
  local ms = tonumber(at) or 0
  -- Something else may have written the end, and any number into it.
  if not (ms >= 0 and ms < 2 ^ 47) then ms = 0 end
  ms = math.floor(ms)
  if reason == 'expired' then
    local i = HEAD + 1
    if format == ROTATED then i = i + 1 + (string.byte(record, i) or 0) end
    local function uvarint()
      local v, unit, b = 0, 1, 128
      for _ = 1, 9 do
        if b < 128 then break end
        b = string.byte(record, i) or 0
        i = i + 1
        v = v + b % 128 * unit
        unit = unit * 128
      end
      return v
    end
    local deadline, created, idle = 0, uvarint(), uvarint()
    for k = PROOF + 2, HEAD do deadline = deadline * 256 + string.byte(record, k) end
    if deadline > 0 then created = deadline - created end
    local found = math.max(ms, tonumber(seen) or 0)
    if found < created + idle - SLACK and (deadline == 0 or found < deadline - SLACK) then return nil end
  end
  local packed = ''
  for _ = 1, 6 do
    packed = string.char(ms % 256) .. packed
    ms = math.floor(ms / 256)
  end
  return string.sub(record, 1, PROOF) .. string.char(6) .. string.sub(record, PROOF + 2, HEAD) .. packed .. string.sub(reason, 1, 256)
end

