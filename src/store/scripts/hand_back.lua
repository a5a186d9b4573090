-- Makes claimed calls due at once whose steps were broken off: another node need not wait for the lease.
-- KEYS: 1 DUE
-- ARGV: 1 key tag "{sNN}"  then for each call: id, epoch of the claim (8 hex digits)
-- RETURNS: how many are due now
-- IDEMPOTENT BY: the epoch, which the next claim raises; until then the same moment is written again
local back = 0
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
for i = 2, #ARGV, 2 do
  local epoch = redis.call('GETRANGE', 'CALL_SESSION:' .. ARGV[1] .. ':' .. ARGV[i], 8, 15)
  local due = redis.call('ZSCORE', KEYS[1], ARGV[i])
  -- What has no place in DUE any more was finished after all.
  if epoch == ARGV[i + 1] and due then
    redis.call('ZADD', KEYS[1], 'LT', now, ARGV[i])
    back = back + 1
  end
end
return back
