-- The one write door: the record, its due time, its transcript, the outbox and all that belongs to the change, or nothing.
-- KEYS: 1 CALL_SESSION  2 DUE  3 TRANSCRIPT  4 TURN  5 JOURNAL  6 OUTBOX_DUE  7 OUTBOX_COUNT  8 SUPPRESSION  9 STATS day
--       10 PHONE bucket  11 RATE_LIMIT  12 OUTBOX_CALL  13 AUDIT
-- ARGV: 1 key tag "{sNN}"  2 call id  3 new record  4 plan (JSON: see store/commit.rs)
-- RETURNS: {"ok"} | {"conflict", record} | {"gone"} | {"lost"} (the turn's lease is another's)
-- IDEMPOTENT BY: the token in the record's head; a re-sent commit finds its own token and answers "ok"
local tag, id, record = ARGV[1], ARGV[2], ARGV[3]
local plan = cjson.decode(ARGV[4])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local current = redis.call('GET', KEYS[1])
if not current then return {'gone'} end
if string.sub(current, 17, 24) == string.sub(record, 17, 24) then return {'ok'} end
if string.sub(current, 1, 8) ~= plan.version or string.sub(current, 17, 24) ~= plan.token then
  return {'conflict', current}
end
if plan.epoch and string.sub(current, 9, 16) ~= plan.epoch then return {'conflict', current} end
-- An observation leaves the epoch as it stands: a claim may have raised it since.
record = string.sub(record, 1, 8) .. string.sub(current, 9, 16) .. string.sub(record, 17)

local before, after = string.sub(current, 25, 25), string.sub(record, 25, 25)
local hash, short = string.sub(record, 39, 62), string.sub(id, 8)
local live = {D = true, U = true, R = true, P = true}
-- Wakes those who work on what is due, unless something was due before: then they are at it (see store/wake.rs).
local function wake(kind, queue)
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if not head[2] or tonumber(head[2]) > now then redis.call('PUBLISH', 'WAKE', kind .. string.sub(tag, 3, 4)) end
end
-- Whoever looks at a shard once a second learns of what is due later than this in time.
local soon = now + 1000

if plan.turn then
  local run = redis.call('HMGET', KEYS[4], 'run', 'token', 'done')
  -- It is leased to us, or nobody has begun it since we answered the one before, which left our token there. The first
  -- of a call, a greeting, is whose commit comes first while nobody has it.
  local ours = run[1] == plan.turn.key or (not run[1] and run[3] == plan.turn.before)
  local first = plan.turn.before == '' and not run[1] and not run[3]
  if not first and (run[2] ~= plan.turn.token or not ours) then return {'lost'} end
end

-- Within a conversation nothing is asked of the person, and nothing changes for them.
local known = ''
if before ~= after or plan.suppress then known = redis.call('HGET', KEYS[10], hash) or '' end
if plan.unplaced then redis.call('ZREM', KEYS[11], unpack(plan.unplaced)) end
-- A dial that was forgotten rang all the same: it counts for the person.
if plan.adopted then
  redis.call('ZADD', KEYS[11], 'NX', now, plan.adopted.member)
  redis.call('PEXPIRE', KEYS[11], plan.adopted.window)
end

if after == 'E' then
  redis.call('SET', KEYS[1], record, 'PX', plan.ttl)
else
  redis.call('SET', KEYS[1], record)
end
if before == 'Q' and after == 'Q' and not plan.epoch then
  -- Something was learned of a call that waits: it goes on waiting where it stands, in its lane or under its lease.
elseif plan.due > 0 then
  if plan.due <= soon then wake('c', KEYS[2]) end
  redis.call('ZADD', KEYS[2], plan.due, id)
else
  redis.call('ZREM', KEYS[2], id)
end

if plan.lines and #plan.lines > 0 then redis.call('RPUSH', KEYS[3], unpack(plan.lines)) end
if plan.turn then
  redis.call('HSET', KEYS[4], 'done', plan.turn.key, 'acts', plan.turn.acts, 'token', plan.turn.token)
  redis.call('HDEL', KEYS[4], 'run', 'until', 'heard')
  redis.call('DEL', KEYS[5])
end
if after == 'E' then
  redis.call('PEXPIRE', KEYS[3], plan.ttl)
  redis.call('PEXPIRE', KEYS[4], plan.ttl)
  redis.call('PEXPIRE', KEYS[5], plan.ttl)
end

-- The person: which calls are open, which of them has a leg out.
if before ~= after then
  local tokens, dirty = {}, false
  for token in string.gmatch(known, '%S+') do
    local bare = string.gsub(token, '^%*', '')
    if bare ~= short then tokens[#tokens + 1] = token else dirty = true end
  end
  if after ~= 'E' then tokens[#tokens + 1] = (live[after] and '*' or '') .. short end
  if #tokens > 0 then
    redis.call('HSET', KEYS[10], hash, table.concat(tokens, ' '))
  elseif dirty then
    redis.call('HDEL', KEYS[10], hash)
  end
  if before == 'Q' then
    -- Ended or adopted while it waited: it may stand in its lane.
    local lane = string.match(record, '^([^\n]*)\n', 63)
    redis.call('LREM', 'READY:' .. tag .. ':' .. lane, 1, id)
  end
  if after == 'E' and plan.result then
    redis.call('RPUSH', 'RESULTS:' .. tag .. ':' .. plan.lane, plan.result)
    redis.call('PEXPIRE', 'RESULTS:' .. tag .. ':' .. plan.lane, 2592000000)
  end
end

if plan.suppress then
  redis.call('HSET', KEYS[8], hash, plan.suppress)
  redis.call('INCR', 'DNC_VERSION:' .. tag)
  -- The person's other calls are looked at now; the claim sees the ban and ends them.
  for token in string.gmatch(known, '%S+') do
    local bare = string.gsub(token, '^%*', '')
    if bare ~= short then
      local other = string.sub(id, 1, 7) .. bare
      local its = redis.call('GET', 'CALL_SESSION:' .. tag .. ':' .. other)
      if its and string.sub(its, 25, 25) == 'Q' then
        local lane = string.match(its, '^([^\n]*)\n', 63)
        redis.call('LREM', 'READY:' .. tag .. ':' .. lane, 1, other)
        wake('c', KEYS[2])
        redis.call('ZADD', KEYS[2], now, other)
      end
    end
  end
end

if plan.audit then redis.call('RPUSH', KEYS[13], plan.audit) end

for _, notice in ipairs(plan.notices or {}) do
  local key = 'OUTBOX:' .. tag .. ':' .. notice.id
  if redis.call('SET', key, notice.entry, 'NX') then
    redis.call('HINCRBY', KEYS[7], 'pending', 1)
    if redis.call('RPUSH', KEYS[12], notice.id) == 1 then
      wake('o', KEYS[6])
      redis.call('ZADD', 'OUTBOX_EP:' .. tag .. ':' .. notice.endpoint, now, notice.id)
      redis.call('ZADD', KEYS[6], 'LT', now, notice.endpoint)
    end
  end
end

-- What a campaign's waiting calls wait for, and the earliest moment at which that may have passed.
local stats = plan.lane and 'STATS:' .. tag .. ':' .. plan.lane
local function waits(reason, by)
  redis.call('HINCRBY', stats, 'waiting:' .. reason, by)
end
local function passes(reason, due)
  local known = tonumber(redis.call('HGET', stats, 'until:' .. reason) or '0')
  if known <= now or known > due then redis.call('HSET', stats, 'until:' .. reason, due) end
end

if plan.child then
  local key = 'CALL_SESSION:' .. tag .. ':' .. plan.child.id
  if redis.call('EXISTS', key) == 0 then
    redis.call('SET', key, plan.child.record)
    if plan.child.due <= soon then wake('c', KEYS[2]) end
    redis.call('ZADD', KEYS[2], plan.child.due, plan.child.id)
    local open = redis.call('HGET', KEYS[10], hash)
    local its = string.sub(plan.child.id, 8)
    redis.call('HSET', KEYS[10], hash, open and (open .. ' ' .. its) or its)
    redis.call('ZADD', 'CALLS:' .. tag .. ':' .. plan.child.day, now, plan.child.id)
    redis.call('EXPIRE', 'CALLS:' .. tag .. ':' .. plan.child.day, 864000)
    redis.call('HINCRBY', KEYS[9], 'accepted', 1)
    if stats then
      redis.call('HINCRBY', stats, 'accepted', 1)
      if plan.child.waits then
        waits(plan.child.waits, 1)
        passes(plan.child.waits, plan.child.due)
      end
    end
  end
end

for _, wait in ipairs(plan.waits or {}) do waits(wait[1], wait[2]) end
if plan.passes then passes(plan.passes[1], plan.passes[2]) end
for _, count in ipairs(plan.counts or {}) do
  redis.call('HINCRBY', KEYS[9], count[1], count[2])
  if stats then redis.call('HINCRBY', stats, count[1], count[2]) end
end
for _, count in ipairs(plan.day_counts or {}) do redis.call('HINCRBY', KEYS[9], count[1], count[2]) end
if plan.counts and #plan.counts > 0 then redis.call('EXPIRE', KEYS[9], 3456000) end
return {'ok'}
