-- Renews a turn's lease and journals what a tool did, in one step.
-- KEYS: 1 TURN  2 JOURNAL
-- ARGV: 1 turn key  2 token  3 lease (ms)  4 journal entry (JSON) or ""
-- RETURNS: 1 where the lease is ours, 0 where another node took the turn over
-- IDEMPOTENT BY: the tool call's id inside the entry; the same entry is not appended twice in a row
local turn = redis.call('HMGET', KEYS[1], 'run', 'token')
if turn[1] ~= ARGV[1] or turn[2] ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[3]))
if ARGV[4] ~= '' and redis.call('LINDEX', KEYS[2], -1) ~= ARGV[4] then redis.call('RPUSH', KEYS[2], ARGV[4]) end
return 1
