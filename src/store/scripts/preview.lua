-- What would become of calls of one shard, were they handed in or dialed now. Reads alone.
-- KEYS: 1 SUPPRESSION
-- ARGV: 1 key tag "{sNN}"  2 now (ms)  3 frequency window (ms)  4 frequency cap, 0 = none
--       then for each call: id, phone hash, campaign
-- RETURNS: for each call "<there><banned><open elsewhere>", each 0 or 1, and behind it the moment (ms) until which the
--          frequency cap holds it back, 0 = it does not
-- IDEMPOTENT BY: changing nothing
local tag, now, window, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function holds(ban)
  if not ban then return false end
  local expires = tonumber(string.match(ban, '^(%d+)') or '0')
  return expires == 0 or expires > now
end
local listed = redis.call('EXISTS', KEYS[1]) == 1
local out = {}
for i = 5, #ARGV, 3 do
  local id, hash = ARGV[i], ARGV[i + 1]
  local short = string.sub(id, 8)
  local there = redis.call('EXISTS', 'CALL_SESSION:' .. tag .. ':' .. id)
  local banned = listed and (holds(redis.call('HGET', KEYS[1], hash))
    or holds(redis.call('HGET', KEYS[1], hash .. ':' .. ARGV[i + 2])))
  local known = redis.call('HGET', 'PHONE:' .. tag .. ':' .. string.sub(hash, 1, 2), hash)
  local open = known and known ~= short and known ~= '*' .. short
  local again = 0
  if cap > 0 then
    local key = 'RATE_LIMIT:' .. tag .. ':' .. hash
    local newest = redis.call('ZRANGEBYSCORE', key, '(' .. (now - window), '+inf', 'WITHSCORES')
    local calls = #newest / 2
    -- Free again once so many are forgotten that one fits below the cap.
    if calls >= cap then again = tonumber(newest[2 * (calls - cap + 1)]) + window end
  end
  out[#out + 1] = there .. (banned and 1 or 0) .. (open and 1 or 0) .. string.format('%d', again)
end
return out
