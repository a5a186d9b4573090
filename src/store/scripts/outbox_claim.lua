-- Claims events to be delivered in one shard: endpoint by endpoint, at most k of each, so that a dead one stands in nobody's way.
-- KEYS: 1 OUTBOX_DUE  2 OUTBOX_COUNT
-- ARGV: 1 key tag "{sNN}"  2 lease (ms)  3 most events of an endpoint  4 most endpoints
-- RETURNS: { now, next due (ms or 0), endpoint, event, endpoint, event, … }
-- IDEMPOTENT BY: the lease; a claim whose answer was lost comes due again when its lease ends
local tag, lease = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out = {now, 0}
local endpoints = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[4]))
for _, endpoint in ipairs(endpoints) do
  local queue = 'OUTBOX_EP:' .. tag .. ':' .. endpoint
  local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, tonumber(ARGV[3]))
  for _, id in ipairs(ids) do
    local entry = redis.call('GET', 'OUTBOX:' .. tag .. ':' .. id)
    if entry then
      redis.call('ZADD', queue, now + lease, id)
      out[#out + 1] = endpoint
      out[#out + 1] = entry
    else
      redis.call('ZREM', queue, id)
    end
  end
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if head[2] then redis.call('ZADD', KEYS[1], head[2], endpoint) else redis.call('ZREM', KEYS[1], endpoint) end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] then out[2] = tonumber(head[2]) end
return out
