-- Accepts calls of one shard: the record, its place in a queue, and what finds it again.
-- KEYS: 1 DUE  2 ACTIVE  3 CALLS day index  4 SUPPRESSION  5 STATS day  6 IDEMPOTENCY entry or "" (unused)
-- ARGV: 1 key tag "{sNN}"  2 now (ms)  3 idempotency fingerprint or ""  4 idempotency TTL (ms)
--       then for each call: id, record, due (ms, 0 = ready now), may be suppressed ("1" accepts it all the same)
-- RETURNS: one word for each call: "created" | "exists" | "suppressed"; for a repeat under an idempotency key:
--          "repeat", first id, first fingerprint
-- IDEMPOTENT BY: the call id; an id that exists is left as it is
local tag, now = ARGV[1], tonumber(ARGV[2])
if ARGV[3] ~= '' then
  local first = redis.call('GET', KEYS[6])
  if first then
    local id, print = string.match(first, '^(%S+) (.*)$')
    return {'repeat', id, print}
  end
end
local out, created = {}, 0
for i = 5, #ARGV, 4 do
  local id, record, due = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local key = 'CALL_SESSION:' .. tag .. ':' .. id
  local hash = string.sub(record, 39, 62)
  local ban = redis.call('HGET', KEYS[4], hash)
  if ban then
    local expires = tonumber(string.match(ban, '^(%d+)') or '0')
    if expires ~= 0 and expires <= now then ban = false end
  end
  if redis.call('EXISTS', key) == 1 then
    out[#out + 1] = 'exists'
  elseif ban and ARGV[i + 3] ~= '1' then
    out[#out + 1] = 'suppressed'
  else
    redis.call('SET', key, record)
    local lane = string.match(record, '^([^\n]*)\n', 63)
    if due > now then
      redis.call('ZADD', KEYS[1], due, id)
    else
      redis.call('RPUSH', 'READY:' .. tag .. ':' .. lane, id)
      redis.call('SADD', KEYS[2], lane)
    end
    local bucket = 'PHONE:' .. tag .. ':' .. string.sub(hash, 1, 2)
    local known = redis.call('HGET', bucket, hash)
    local short = string.sub(id, 8)
    redis.call('HSET', bucket, hash, known and (known .. ' ' .. short) or short)
    redis.call('ZADD', KEYS[3], now, id)
    if lane ~= '-' then redis.call('HINCRBY', 'STATS:' .. tag .. ':' .. string.gsub(lane, '[+~]$', ''), 'accepted', 1) end
    created = created + 1
    out[#out + 1] = 'created'
    if ARGV[3] ~= '' then redis.call('SET', KEYS[6], id .. ' ' .. ARGV[3], 'PX', ARGV[4]) end
  end
end
if created > 0 then
  redis.call('HINCRBY', KEYS[5], 'accepted', created)
  redis.call('EXPIRE', KEYS[5], 3456000)
  redis.call('EXPIRE', KEYS[3], 864000)
end
return out
