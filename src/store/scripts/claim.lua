-- Claims what is due in one shard: live calls first, then heads of the lanes, the urgent lane ("-") before all others.
-- KEYS: 1 DUE  2 ACTIVE  3 SUPPRESSION
-- ARGV: 1 key tag "{sNN}"  2 lease (ms)  3 most live calls  4 most ready calls  5 most ready calls of the urgent lane
-- RETURNS: { now, next due (ms or 0), lanes with ready calls, lost ids removed, then id, record, "1" if on the do-not-call list else "0", … }
-- IDEMPOTENT BY: the lease; a claim whose answer was lost comes due again when its lease ends
local tag, lease = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out, lost = {now, 0, 0, 0}, 0

local function raise(record)
  local epoch = tonumber(string.sub(record, 9, 16), 16) + 1
  return string.sub(record, 1, 8) .. string.format('%08x', epoch) .. string.sub(record, 17)
end
local function take(id, key, record, is_banned)
  record = raise(record)
  redis.call('SET', key, record, 'KEEPTTL')
  redis.call('ZADD', KEYS[1], now + lease, id)
  out[#out + 1] = id
  out[#out + 1] = record
  out[#out + 1] = is_banned and '1' or '0'
end
local function banned(record)
  local ban = redis.call('HGET', KEYS[3], string.sub(record, 39, 62))
  if not ban then return false end
  local expires = tonumber(string.match(ban, '^(%d+)') or '0')
  return expires == 0 or expires > now
end

local live = tonumber(ARGV[3])
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, live)
for _, id in ipairs(ids) do
  local key = 'CALL_SESSION:' .. tag .. ':' .. id
  local record = redis.call('GET', key)
  if not record then
    redis.call('ZREM', KEYS[1], id)
    lost = lost + 1
  elseif string.sub(record, 25, 25) ~= 'Q' then
    take(id, key, record, false)
  elseif banned(record) then
    take(id, key, record, true)
  else
    -- Waited for its time; now it waits for its turn. The epoch rises here too: whoever held it let the lease lapse, and
    -- a decision of theirs would put the call into DUE while it stands in a lane.
    redis.call('SET', key, raise(record), 'KEEPTTL')
    local lane = string.match(record, '^([^\n]*)\n', 63)
    redis.call('ZREM', KEYS[1], id)
    redis.call('RPUSH', 'READY:' .. tag .. ':' .. lane, id)
    redis.call('SADD', KEYS[2], lane)
  end
end

local function drain(lane, most)
  local queue = 'READY:' .. tag .. ':' .. lane
  local taken = 0
  while taken < most do
    local id = redis.call('LPOP', queue)
    if not id then
      redis.call('SREM', KEYS[2], lane)
      break
    end
    local key = 'CALL_SESSION:' .. tag .. ':' .. id
    local record = redis.call('GET', key)
    if not record then
      lost = lost + 1
    elseif string.sub(record, 25, 25) == 'Q' then
      take(id, key, record, banned(record))
      taken = taken + 1
    end
  end
  return taken
end

drain('-', tonumber(ARGV[5]))
local left = tonumber(ARGV[4])
-- The urgent lane had its own budget and takes no share of this one.
local lanes = {}
for _, lane in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if lane ~= '-' then lanes[#lanes + 1] = lane end
end
if left > 0 and #lanes > 0 then
  -- Rotating by time, so that no lane is always first.
  local first = now % #lanes
  local share = math.max(1, math.floor(left / #lanes))
  for round = 1, 2 do
    for i = 0, #lanes - 1 do
      local lane = lanes[(first + i) % #lanes + 1]
      if left > 0 then
        left = left - drain(lane, math.min(left, round == 1 and share or left))
      end
    end
  end
end
-- A lane that this claim emptied is none to come back for.
for _, lane in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if redis.call('EXISTS', 'READY:' .. tag .. ':' .. lane) == 0 then redis.call('SREM', KEYS[2], lane) end
end
out[3] = redis.call('SCARD', KEYS[2])
out[4] = lost
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] then out[2] = tonumber(head[2]) end
return out
