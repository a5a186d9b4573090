-- Takes the lines of a sealed segment off the list of a shard's evidence and names the segment as the chain's head.
-- KEYS: 1 AUDIT  2 AUDIT_HEAD  3 AUDIT_LEASE
-- ARGV: 1 lease token  2 the segment's number, or "" to give the lease back alone  3 its hash  4 its object's key
--       5 how many lines it took
-- RETURNS: 1 sealed, now or before by this very request | 0 another segment has this number: nothing was changed
-- IDEMPOTENT BY: the hash; a re-sent request finds its own hash as the head and answers 1
local function give_back()
  if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
end
if ARGV[2] == '' then
  give_back()
  return 1
end
local head = redis.call('HMGET', KEYS[2], 'seq', 'hash')
if head[2] == ARGV[3] then return 1 end
if (tonumber(head[1]) or 0) + 1 ~= tonumber(ARGV[2]) then return 0 end
redis.call('LTRIM', KEYS[1], ARGV[5], -1)
redis.call('HSET', KEYS[2], 'seq', ARGV[2], 'hash', ARGV[3], 'key', ARGV[4])
return 1
