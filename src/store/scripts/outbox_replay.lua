-- Brings a dead letter back: due at once, its attempts counted anew.
-- KEYS: 1 OUTBOX entry  2 OUTBOX_DUE  3 OUTBOX_EP queue  4 OUTBOX_CALL  5 OUTBOX_COUNT  6 OUTBOX_DEAD
-- ARGV: 1 event id  2 endpoint  3 the entry as it shall be
-- RETURNS: 1 replayed, 0 it is no dead letter
-- IDEMPOTENT BY: membership in OUTBOX_DEAD
if redis.call('ZREM', KEYS[6], ARGV[1]) == 0 then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('SET', KEYS[1], ARGV[3])
redis.call('HINCRBY', KEYS[5], 'pending', 1)
redis.call('HINCRBY', KEYS[5], 'dead', -1)
if redis.call('RPUSH', KEYS[4], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  redis.call('ZADD', KEYS[2], 'LT', now, ARGV[2])
  -- Hash tag "{sNN}": see store/wake.rs.
  redis.call('PUBLISH', 'WAKE', 'o' .. string.match(KEYS[2], '{s(%d%d)}'))
end
return 1
