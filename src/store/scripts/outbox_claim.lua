-- Claims events to be delivered in one shard: endpoint by endpoint, at most k of each, so that a dead one stands in nobody's way.
-- KEYS: 1 OUTBOX_DUE  2 OUTBOX_COUNT
-- ARGV: 1 key tag "{sNN}"  2 lease (ms)  3 most calls of an endpoint  4 most endpoints
--       5 most events of a call that are brought behind its first (they are leased with it)  then endpoints to be passed over
-- RETURNS: { now, next due (ms or 0), pending events, entry, entry, … }; a call's entries stand together, in their order
-- IDEMPOTENT BY: the lease; a claim whose answer was lost comes due again when its lease ends
local tag, lease = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out = {now, 0, tonumber(redis.call('HGET', KEYS[2], 'pending') or '0')}
local passed_over = {}
for i = 6, #ARGV do passed_over[ARGV[i]] = true end
local most = tonumber(ARGV[4]) + #ARGV - 5
local following = tonumber(ARGV[5])
-- The others of the call that go to the same place. A quote within a text is written as \", so these are the fields.
local function bring(entry, endpoint)
  local call = string.match(entry, '"call_id":"([^"]+)"')
  local ids = call and redis.call('LRANGE', 'OUTBOX_CALL:' .. tag .. ':' .. call, 1, following) or {}
  for _, id in ipairs(ids) do
    local its = redis.call('GET', 'OUTBOX:' .. tag .. ':' .. id)
    if not its or string.match(its, '"endpoint":"(%x+)"') ~= endpoint then return end
    out[#out + 1] = its
  end
end
local endpoints = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)
for _, endpoint in ipairs(endpoints) do
  if not passed_over[endpoint] then
    local queue = 'OUTBOX_EP:' .. tag .. ':' .. endpoint
    local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, tonumber(ARGV[3]))
    local keys, leases, gone = {}, {}, {}
    for i, id in ipairs(ids) do keys[i] = 'OUTBOX:' .. tag .. ':' .. id end
    local entries = #keys > 0 and redis.call('MGET', unpack(keys)) or {}
    for i, id in ipairs(ids) do
      local entry = entries[i]
      if entry and entry ~= '' then
        leases[#leases + 1] = now + lease
        leases[#leases + 1] = id
        out[#out + 1] = entry
        if following > 0 then bring(entry, endpoint) end
      else
        gone[#gone + 1] = id
      end
    end
    if #leases > 0 then redis.call('ZADD', queue, unpack(leases)) end
    if #gone > 0 then redis.call('ZREM', queue, unpack(gone)) end
    local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if head[2] then redis.call('ZADD', KEYS[1], head[2], endpoint) else redis.call('ZREM', KEYS[1], endpoint) end
  end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] then out[2] = tonumber(head[2]) end
return out
