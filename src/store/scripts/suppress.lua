-- Puts a person on the do-not-call list, or takes them off it, and has their waiting calls looked at now.
-- KEYS: 1 SUPPRESSION  2 PHONE bucket  3 DUE
-- ARGV: 1 key tag "{sNN}"  2 phone hash  3 entry ("<expires ms or 0> {json}") or "" to remove  4 id prefix ("call_NN")
-- RETURNS: 1 changed, 0 it was so before
-- IDEMPOTENT BY: its result; doing it twice leaves the same list
if ARGV[3] == '' then return redis.call('HDEL', KEYS[1], ARGV[2]) end
local added = redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for token in string.gmatch(redis.call('HGET', KEYS[2], ARGV[2]) or '', '%S+') do
  local id = ARGV[4] .. string.gsub(token, '^%*', '')
  local record = redis.call('GET', 'CALL_SESSION:' .. ARGV[1] .. ':' .. id)
  if record and string.sub(record, 25, 25) == 'Q' then
    local lane = string.match(record, '^([^\n]*)\n', 63)
    redis.call('LREM', 'READY:' .. ARGV[1] .. ':' .. lane, 1, id)
    redis.call('ZADD', KEYS[3], now, id)
  end
end
return added
