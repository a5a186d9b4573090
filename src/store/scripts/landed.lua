-- Says whether calls that were handed in stand on this server, and writes to it, so that a WAIT on the same connection
-- speaks for them.
-- KEYS: 1 STATS day, then the calls' records
-- ARGV: none
-- RETURNS: 1 all of them stand here, 0 they do not
-- IDEMPOTENT BY: it adds nothing
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return 0 end
end
redis.call('HINCRBY', KEYS[1], 'accepted', 0)
return 1
