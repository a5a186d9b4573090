-- Settles deliveries of one shard: delivered, dead, or due again; the next event of each call follows.
-- KEYS: 1 OUTBOX_DUE  2 OUTBOX_COUNT  3 OUTBOX_DEAD
-- ARGV: 1 key tag "{sNN}"  2 TTL (ms) of a delivered event's id  3 TTL (ms) of a dead letter
--       then for each event: its id, its call, its endpoint, "delivered" | "dead" | "again", when it is due again (ms),
--       the entry as it is now, or "" where it is delivered or stays as it was
-- RETURNS: { 1 if something is due now, then for each event 1 settled, 0 it was settled before }
-- IDEMPOTENT BY: the event id; a settled event stands no longer at the head of its call's list
local tag = ARGV[1]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local out, touched, counts = {0}, {}, {delivered = 0, dead = 0}
-- By endpoint and event: when it is due in that queue, or false where it leaves it; the last word counts.
local function put(endpoint, id, due)
  local its = touched[endpoint]
  if not its then
    its = {}
    touched[endpoint] = its
  end
  its[id] = due
end
for i = 4, #ARGV, 6 do
  local id, endpoint, verdict, text = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 5]
  local key, list = 'OUTBOX:' .. tag .. ':' .. id, 'OUTBOX_CALL:' .. tag .. ':' .. ARGV[i + 1]
  local heads = redis.call('LRANGE', list, 0, 1)
  if heads[1] ~= id then
    out[#out + 1] = 0
  else
    out[#out + 1] = 1
    if verdict == 'again' then
      if text ~= '' then redis.call('SET', key, text) end
      put(endpoint, id, ARGV[i + 4])
    else
      -- What was delivered leaves its id: no commit may tell of it twice.
      redis.call('SET', key, text, 'PX', verdict == 'dead' and ARGV[3] or ARGV[2])
      -- A call's events that died together keep their order, for when they are all brought back.
      if verdict == 'dead' then redis.call('ZADD', KEYS[3], now + i / 1000, id) end
      counts[verdict] = counts[verdict] + 1
      put(endpoint, id, false)
      redis.call('LPOP', list)
      local following = heads[2]
      -- One whose own verdict comes next is not due in between.
      if following and following ~= ARGV[i + 6] then
        local entry = redis.call('GET', 'OUTBOX:' .. tag .. ':' .. following)
        local its = entry and entry ~= '' and cjson.decode(entry).endpoint or endpoint
        put(its, following, string.format('%.0f', now))
      end
    end
  end
end
for endpoint, its in pairs(touched) do
  local key = 'OUTBOX_EP:' .. tag .. ':' .. endpoint
  local gone, dues = {}, {}
  for id, due in pairs(its) do
    if due then
      dues[#dues + 1] = due
      dues[#dues + 1] = id
    else
      gone[#gone + 1] = id
    end
  end
  for from = 1, #gone, 1000 do redis.call('ZREM', key, unpack(gone, from, math.min(from + 999, #gone))) end
  for from = 1, #dues, 1000 do redis.call('ZADD', key, unpack(dues, from, math.min(from + 999, #dues))) end
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then redis.call('ZADD', KEYS[1], head[2], endpoint) else redis.call('ZREM', KEYS[1], endpoint) end
end
for verdict, n in pairs(counts) do
  if n > 0 then
    redis.call('HINCRBY', KEYS[2], 'pending', -n)
    redis.call('HINCRBY', KEYS[2], verdict, n)
  end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[2] and tonumber(head[2]) <= now then out[1] = 1 end
return out
