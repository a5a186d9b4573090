-- Looks through one chunk of a shard's due times for calls of a campaign that is to end: what waits is due now, so that a
-- worker ends it; what lives is named, so that it can be hung up.
-- KEYS: 1 DUE
-- ARGV: 1 key tag "{sNN}"  2 campaign  3 cursor of the scan ("0" = from the start)  4 about how many to look at
-- RETURNS: { cursor to go on with ("0" = done), how many were made due, ids of live calls that nobody wants ended yet, … }
-- IDEMPOTENT BY: nothing is lost by a second time: a due time that is past already is left as it is
local tag, campaign = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local live = {D = true, U = true, R = true, P = true}
local page = redis.call('ZSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[4])
local out, moved = {page[1], 0}, 0
for i = 1, #page[2], 2 do
  local id, due = page[2][i], tonumber(page[2][i + 1])
  local record = redis.call('GET', 'CALL_SESSION:' .. tag .. ':' .. id)
  local lane = record and string.match(record, '^([^\n]*)\n', 63)
  if lane and string.gsub(lane, '[+~]$', '') == campaign then
    local state = string.sub(record, 25, 25)
    if state == 'Q' and due > now then
      redis.call('ZADD', KEYS[1], now, id)
      moved = moved + 1
    elseif live[state] and not string.find(record, '"cancel_requested":true', 63, true) then
      out[#out + 1] = id
    end
  end
end
out[2] = moved
if moved > 0 then redis.call('PUBLISH', 'WAKE', 'c' .. string.sub(tag, 3, 4)) end
return out
