-- Renews a turn's lease and journals what its tools did, in one step.
-- KEYS: 1 TURN  2 JOURNAL
-- ARGV: 1 turn key  2 token  3 lease (ms)  4 key of the turn before  5 what was heard (JSON)
--       6 the place of the first entry in the journal, from 0; then the entries (JSON), perhaps none
-- RETURNS: 1 where the lease is ours, 0 where another node took the turn over, or where entries before these are lost
-- IDEMPOTENT BY: the entries' places; what stands there already is not appended again
local turn = redis.call('HMGET', KEYS[1], 'run', 'token', 'done')
if turn[2] ~= ARGV[2] then return 0 end
if turn[1] ~= ARGV[1] then
  -- Begun without asking by whoever answered the turn before: from here on others wait for it.
  if turn[1] or turn[3] ~= ARGV[4] then return 0 end
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'heard', ARGV[5])
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
if #ARGV > 6 then
  local first, known = tonumber(ARGV[6]), redis.call('LLEN', KEYS[2])
  -- A server that was put in the place of another may lack some: the turn begins anew from what is left.
  if known < first then return 0 end
  for i = 7 + known - first, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
  -- Of a call that has ended meanwhile the turn goes after its time, and so does this.
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then redis.call('PEXPIRE', KEYS[2], left) end
end
redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[3]))
return 1
