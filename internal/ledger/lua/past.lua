-- Returns what is remembered of an ended session for the visitor who still has its token,
-- or nil if the record is not one of the formats 4 and 5; see past.go for the layout.
-- reason and at are those of the end, at in Unix ms.
--
-- This text stands in front of the scripts that use it; see scripts.go.
local function past(record, reason, at)
  local format = record and string.byte(record, 17)
  if not reason or #(record or '') < 23 or (format ~= 4 and format ~= 5) then return nil end
  local ms, packed = tonumber(at) or 0, ''
  -- Something else may have written the end, and any number into it.
  if not (ms >= 0 and ms < 2 ^ 47) then ms = 0 end
  ms = math.floor(ms)
  for _ = 1, 6 do
    packed = string.char(ms % 256) .. packed
    ms = math.floor(ms / 256)
  end
  return string.sub(record, 1, 16) .. string.char(6) .. string.sub(record, 18, 23) .. packed .. string.sub(reason, 1, 256)
end

