-- Says which server a shard lies on, and opens the shard for dials from it once the carrier was asked.
-- KEYS: 1 SERVER
-- ARGV: 1 the server (its replication id) that the shard is opened for, or "" to ask alone
-- RETURNS: "open" or "held", then the server's replication id, "" where it may not be asked for
-- IDEMPOTENT BY: the replication id; a shard opened twice for one server is open for it
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
if ARGV[1] ~= '' and ARGV[1] == server then
  -- Written even where it is there: a WAIT behind it then waits for all that this server was told before.
  redis.call('SET', KEYS[1], server)
  return {'open', server}
end
local known = redis.call('GET', KEYS[1])
if server == '' or not known or known == server then return {'open', server} end
return {'held', server}
