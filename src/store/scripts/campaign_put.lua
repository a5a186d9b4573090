-- Writes a campaign: its JSON, what pacing and the keeper read of it, the two indices, and an event for who watches.
-- KEYS: 1 CAMPAIGN  2 PACE  3 CAMPAIGNS  4 CAMPAIGNS_OPEN  5 CAMPAIGN_EVENTS
-- ARGV: 1 campaign id  2 the version that was read (0 = none: it is new)  3 the JSON, with a version of its own  4 created (ms)
--       5 "1" while it is not over  6 most events kept  7 event (JSON) or ""  8 TTL of the events once it is over (ms)
--       9 PACE fields to be removed, separated by blanks, then PACE fields and values, `wrote` last
-- RETURNS: {"ok"} | {"conflict", the JSON as it stands}
-- IDEMPOTENT BY: the version, and the PACE field `wrote` that differs for each write: a re-sent one finds its own, answers "ok"
local current = redis.call('GET', KEYS[1])
if current then
  local version = string.match(current, '^{"id":"[^"]*","version":(%d+)') or '0'
  if version ~= ARGV[2] then
    local own = current == ARGV[3] and redis.call('HGET', KEYS[2], 'wrote') == ARGV[#ARGV]
    return own and {'ok'} or {'conflict', current}
  end
elseif ARGV[2] ~= '0' then
  return {'conflict', ''}
end
-- Pacing keeps counters of its own in this hash: they stay.
for field in string.gmatch(ARGV[9], '%S+') do redis.call('HDEL', KEYS[2], field) end
redis.call('HSET', KEYS[2], unpack(ARGV, 10))
redis.call('SET', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
if ARGV[5] == '1' then
  redis.call('SADD', KEYS[4], ARGV[1])
else
  redis.call('SREM', KEYS[4], ARGV[1])
end
if ARGV[7] ~= '' then redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[6], '*', 'e', ARGV[7]) end
if ARGV[5] == '1' then
  redis.call('PERSIST', KEYS[5])
else
  redis.call('PEXPIRE', KEYS[5], ARGV[8])
end
return {'ok'}
