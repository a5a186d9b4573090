-- Erases a call's events: those that wait, those given up, those delivered whose body is still there.
-- KEYS: 1 OUTBOX_CALL  2 OUTBOX_COUNT  3 OUTBOX_DEAD
-- ARGV: 1 key tag "{sNN}"  then the ids that the call's events may have
-- RETURNS: how many bodies were erased
-- IDEMPOTENT BY: its result; what is gone is passed over
local erased = 0
local waiting = redis.call('LRANGE', KEYS[1], 0, -1)
for _, id in ipairs(waiting) do
  local key = 'OUTBOX:' .. ARGV[1] .. ':' .. id
  local entry = redis.call('GET', key)
  -- A delivery under way finds its event no longer at the head of the list, and settles nothing.
  if entry then redis.call('ZREM', 'OUTBOX_EP:' .. ARGV[1] .. ':' .. cjson.decode(entry).endpoint, id) end
  erased = erased + redis.call('DEL', key)
end
if #waiting > 0 then redis.call('HINCRBY', KEYS[2], 'pending', -#waiting) end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do
  if redis.call('ZREM', KEYS[3], ARGV[i]) == 1 then redis.call('HINCRBY', KEYS[2], 'dead', -1) end
  erased = erased + redis.call('DEL', 'OUTBOX:' .. ARGV[1] .. ':' .. ARGV[i])
end
return erased
