-- Settles one delivery: delivered, dead, or due again; the call's next event follows.
-- KEYS: 1 OUTBOX entry  2 OUTBOX_DUE  3 OUTBOX_EP queue  4 OUTBOX_CALL  5 OUTBOX_COUNT  6 OUTBOX_DEAD
-- ARGV: 1 event id  2 endpoint  3 "delivered" | "dead" | "again"  4 the entry as it is now  5 when it is due again (ms)
--       6 TTL (ms) of a settled entry  7 key tag "{sNN}"
-- RETURNS: 1 settled, 0 it was settled before
-- IDEMPOTENT BY: the event id; a settled event stands no longer at the head of its call's list
local id, endpoint, verdict = ARGV[1], ARGV[2], ARGV[3]
if redis.call('LINDEX', KEYS[4], 0) ~= id then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
if verdict == 'again' then
  redis.call('SET', KEYS[1], ARGV[4])
  redis.call('ZADD', KEYS[3], ARGV[5], id)
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[6])
  redis.call('ZREM', KEYS[3], id)
  redis.call('LPOP', KEYS[4])
  redis.call('HINCRBY', KEYS[5], 'pending', -1)
  redis.call('HINCRBY', KEYS[5], verdict, 1)
  if verdict == 'dead' then redis.call('ZADD', KEYS[6], now, id) end
  local following = redis.call('LINDEX', KEYS[4], 0)
  if following then
    local entry = redis.call('GET', 'OUTBOX:' .. ARGV[7] .. ':' .. following)
    local its = entry and cjson.decode(entry).endpoint or endpoint
    redis.call('ZADD', 'OUTBOX_EP:' .. ARGV[7] .. ':' .. its, now, following)
    redis.call('ZADD', KEYS[2], 'LT', now, its)
  end
end
local head = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if head[2] then redis.call('ZADD', KEYS[2], head[2], endpoint) else redis.call('ZREM', KEYS[2], endpoint) end
return 1
