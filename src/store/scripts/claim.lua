-- Claims what is due in one shard: live calls first, then heads of the urgent lane ("-"), then of the campaigns wanted.
-- KEYS: 1 DUE  2 ACTIVE  3 SUPPRESSION
-- ARGV: 1 key tag "{sNN}"  2 lease (ms)  3 most live calls  4 most ready calls of the urgent lane
--       then for each campaign wanted: its id, most ready calls of it
-- RETURNS: { now, next due (ms or 0), lost ids removed, lanes that still have ready calls, for each of them: lane, length,
--          then for each call claimed: id, record, "1" if on the do-not-call list else "0" }
-- IDEMPOTENT BY: the lease; a claim whose answer was lost comes due again when its lease ends
local tag, lease = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local lost, taken, leases = 0, {}, {}
-- As text: Redis writes a number out anew each time it is handed one.
local until_text = string.format('%.0f', now + lease)
local listed = redis.call('EXISTS', KEYS[3]) == 1

local function session(id) return 'CALL_SESSION:' .. tag .. ':' .. id end
local function records(ids)
  if #ids == 0 then return {} end
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = session(id) end
  return redis.call('MGET', unpack(keys))
end
-- Raises the epoch in the head; nothing else of the record changes. One that waits has no time to live and is written
-- whole, with all others; one that lives or is over keeps its own.
local raised = {}
local function raise(id, record)
  local epoch = string.format('%08x', tonumber(string.sub(record, 9, 16), 16) + 1)
  local after = string.sub(record, 1, 8) .. epoch .. string.sub(record, 17)
  if string.sub(record, 25, 25) == 'Q' then
    local n = #raised
    raised[n + 1], raised[n + 2] = session(id), after
  else
    redis.call('SETRANGE', session(id), 8, epoch)
  end
  return after
end
local function take(id, record, is_banned)
  local n = #taken
  taken[n + 1], taken[n + 2], taken[n + 3] = id, raise(id, record), is_banned and '1' or '0'
  n = #leases
  leases[n + 1], leases[n + 2] = until_text, id
end
local function lane_of(record) return string.match(record, '^([^\n]*)\n', 63) end
local function banned(record)
  local hash = string.sub(record, 39, 62)
  local campaign = string.gsub(lane_of(record), '[+~]$', '')
  for _, ban in ipairs(redis.call('HMGET', KEYS[3], hash, hash .. ':' .. campaign)) do
    if ban then
      local expires = tonumber(string.match(ban, '^(%d+)') or '0')
      if expires == 0 or expires > now then return true end
    end
  end
  return false
end

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[3]))
for i, record in ipairs(records(due)) do
  local id = due[i]
  if not record then
    redis.call('ZREM', KEYS[1], id)
    lost = lost + 1
  elseif string.sub(record, 25, 25) ~= 'Q' then
    take(id, record, false)
  elseif listed and banned(record) then
    take(id, record, true)
  else
    -- Waited for its time; now it waits for its turn. The epoch rises here too: whoever held it let the lease lapse, and
    -- a decision of theirs would put the call into DUE while it stands in a lane.
    raise(id, record)
    local lane = lane_of(record)
    redis.call('ZREM', KEYS[1], id)
    redis.call('RPUSH', 'READY:' .. tag .. ':' .. lane, id)
    redis.call('SADD', KEYS[2], lane)
  end
end

local function drain(lane, most)
  local queue = 'READY:' .. tag .. ':' .. lane
  local left = most
  while left > 0 do
    local ids = redis.call('LPOP', queue, math.min(left, 500))
    if not ids or #ids == 0 then break end
    for i, record in ipairs(records(ids)) do
      if not record then
        lost = lost + 1
      elseif string.sub(record, 25, 25) == 'Q' then
        take(ids[i], record, listed and banned(record))
        left = left - 1
      end
    end
  end
  return most - left
end

drain('-', tonumber(ARGV[4]))
for i = 5, #ARGV, 2 do
  local left = tonumber(ARGV[i + 1])
  for _, priority in ipairs({'+', '', '~'}) do left = left - drain(ARGV[i] .. priority, left) end
end
for i = 1, #raised, 1000 do redis.call('MSET', unpack(raised, i, math.min(i + 999, #raised))) end
for i = 1, #leases, 1000 do
  redis.call('ZADD', KEYS[1], unpack(leases, i, math.min(i + 999, #leases)))
end

local lanes = {}
for _, lane in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local length = redis.call('LLEN', 'READY:' .. tag .. ':' .. lane)
  if length == 0 then
    redis.call('SREM', KEYS[2], lane)
  else
    lanes[#lanes + 1] = lane
    lanes[#lanes + 1] = length
  end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local out = {now, head[2] and tonumber(head[2]) or 0, lost, #lanes / 2}
for _, value in ipairs(lanes) do out[#out + 1] = value end
for _, value in ipairs(taken) do out[#out + 1] = value end
return out
