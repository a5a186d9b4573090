-- Says whether a shard still lies on the server that its newest dials were started on, and writes to it, so that a WAIT
-- on the same connection speaks for those dials.
-- KEYS: 1 SERVER
-- ARGV: none
-- RETURNS: 1 it does, 0 it does not
-- IDEMPOTENT BY: it writes what stands there
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
local known = redis.call('GET', KEYS[1])
if server ~= '' and known ~= server then return 0 end
redis.call('SET', KEYS[1], known or server)
return 1
