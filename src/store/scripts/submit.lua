-- Accepts calls of one shard: the record, its place in a queue, and what finds it again.
-- KEYS: 1 DUE  2 ACTIVE  3 CALLS day index  4 SUPPRESSION  5 STATS day  6 IDEMPOTENCY entry or "" (unused)
-- ARGV: 1 key tag "{sNN}"  2 now (ms)  3 idempotency fingerprint or ""  4 idempotency TTL (ms)
--       5 "account": not while another call to the number is open; else ""
--       then for each call: id, record (its due time, ms, stands in its head; what is not ahead is ready now)
-- RETURNS: one word for each call: "created" | "exists" | "suppressed" | "open_elsewhere"; for a repeat under an
--          idempotency key: "repeat", first id, first fingerprint
-- IDEMPOTENT BY: the call id; an id that exists is left as it is
local tag, now = ARGV[1], tonumber(ARGV[2])
if ARGV[3] ~= '' then
  local first = redis.call('GET', KEYS[6])
  if first then
    local id, print = string.match(first, '^(%S+) (.*)$')
    return {'repeat', id, print}
  end
end
local session, bucket = 'CALL_SESSION:' .. tag .. ':', 'PHONE:' .. tag .. ':'
local function base(lane) return (string.gsub(lane, '[+~]$', '')) end
local function holds(ban)
  if not ban then return false end
  local expires = tonumber(string.match(ban, '^(%d+)') or '0')
  return expires == 0 or expires > now
end
local listed = redis.call('EXISTS', KEYS[4]) == 1

local out, fresh, lanes, woken, dues = {}, {}, {}, false, {}
for i = 6, #ARGV, 2 do
  local id, record = ARGV[i], ARGV[i + 1]
  local hash, short, key = string.sub(record, 39, 62), string.sub(id, 8), session .. id
  local person = bucket .. string.sub(hash, 1, 2)
  local lane = string.sub(record, 63, string.find(record, '\n', 63, true) - 1)
  local refused
  -- Nobody calls them, or this campaign does not.
  if listed and (holds(redis.call('HGET', KEYS[4], hash)) or holds(redis.call('HGET', KEYS[4], hash .. ':' .. base(lane)))) then
    refused = 'suppressed'
  end
  if not refused and ARGV[5] == 'account' then
    local known = redis.call('HGET', person, hash)
    if known and known ~= short and known ~= '*' .. short then refused = 'open_elsewhere' end
  end
  if refused then
    out[#out + 1] = redis.call('EXISTS', key) == 1 and 'exists' or refused
  elseif not redis.call('SET', key, record, 'NX') then
    out[#out + 1] = 'exists'
  else
    out[#out + 1] = 'created'
    fresh[#fresh + 1] = short
    local its = lanes[lane]
    if not its then
      its = {accepted = 0}
      lanes[lane] = its
    end
    its.accepted = its.accepted + 1
    local due_text = string.sub(record, 26, 38)
    local due = due_text == '0000000000000' and 0 or tonumber(due_text)
    if due > now then
      dues[#dues + 1] = due_text
      dues[#dues + 1] = id
      woken = woken or due <= now + 1000
    else
      its[#its + 1] = id
    end
    if redis.call('HSETNX', person, hash, short) == 0 then
      redis.call('HSET', person, hash, redis.call('HGET', person, hash) .. ' ' .. short)
    end
    if ARGV[3] ~= '' then redis.call('SET', KEYS[6], id .. ' ' .. ARGV[3], 'PX', ARGV[4]) end
  end
end

-- What many calls share is written once, in pieces that Lua can unpack.
for from = 1, #dues, 1000 do
  redis.call('ZADD', KEYS[1], unpack(dues, from, math.min(from + 999, #dues)))
end
for lane, its in pairs(lanes) do
  for from = 1, #its, 500 do
    redis.call('RPUSH', 'READY:' .. tag .. ':' .. lane, unpack(its, from, math.min(from + 499, #its)))
  end
  -- A lane that was active is being looked at.
  if #its > 0 and redis.call('SADD', KEYS[2], lane) == 1 then woken = true end
  if lane ~= '-' then
    redis.call('HINCRBY', 'STATS:' .. tag .. ':' .. base(lane), 'accepted', its.accepted)
  end
end
-- The index holds up to 64 ids an entry, 22 characters each: an entry of its own costs six times as much.
for from = 1, #fresh, 64 do
  redis.call('ZADD', KEYS[3], now, table.concat(fresh, '', from, math.min(from + 63, #fresh)))
end
if woken then redis.call('PUBLISH', 'WAKE', 'c' .. string.sub(tag, 3, 4)) end
if #fresh > 0 then
  redis.call('HINCRBY', KEYS[5], 'accepted', #fresh)
  redis.call('EXPIRE', KEYS[5], 3456000)
  redis.call('EXPIRE', KEYS[3], 864000)
end
return out
