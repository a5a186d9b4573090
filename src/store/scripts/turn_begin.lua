-- Leases a turn of a conversation to one node.
-- KEYS: 1 CALL_SESSION  2 TURN  3 JOURNAL  4 TRANSCRIPT
-- ARGV: 1 turn key "attempt:n"  2 what was heard (JSON)  3 lease (ms)  4 token of the node's try
--       5 "1": take it even from a node that runs it still (the callee has waited long enough)
-- RETURNS: {"gone"} (no such call, or it has ended) |
--          {"done", record, key of the newest answered turn, its acts (JSON), [the last lines]} |
--          {"running", record, ms left of the lease} |
--          {"taken", record, heard (JSON; the first one's where the turn is resumed), [lines], [journal]}
-- IDEMPOTENT BY: the token
local key, now_heard, lease, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local record = redis.call('GET', KEYS[1])
if not record then return {'gone'} end
-- Of a call that has ended nothing more is kept, and a lease on it would outlive it.
if string.sub(record, 25, 25) == 'E' then return {'gone'} end
local turn = redis.call('HMGET', KEYS[2], 'done', 'acts', 'run', 'token', 'until', 'heard')
local function parts(k)
  local a, n = string.match(k or '', '^(%d+):(%d+)$')
  return tonumber(a or '0'), tonumber(n or '-1')
end
local attempt, n = parts(key)
local done_attempt, done_n = parts(turn[1])
if turn[1] and (done_attempt > attempt or (done_attempt == attempt and done_n >= n)) then
  return {'done', record, turn[1], turn[2], redis.call('LRANGE', KEYS[4], -8, -1)}
end
if turn[3] == key then
  local left = tonumber(turn[5] or '0') - now
  if left > 0 and turn[4] ~= token and ARGV[5] ~= '1' then return {'running', record, left} end
  -- Its node is gone: the turn goes on from what it journaled, with what was heard first.
  now_heard = turn[6] or now_heard
else
  redis.call('DEL', KEYS[3])
end
redis.call('HSET', KEYS[2], 'run', key, 'token', token, 'until', now + lease, 'heard', now_heard)
return {'taken', record, now_heard, redis.call('LRANGE', KEYS[4], 0, -1), redis.call('LRANGE', KEYS[3], 0, -1)}
