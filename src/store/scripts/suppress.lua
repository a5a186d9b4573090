-- Puts people or prefixes of one shard on the do-not-call list, or takes them off it; a person's waiting calls are looked at now.
-- KEYS: 1 the list: SUPPRESSION (fields are phone hashes) or PREFIXES (fields are prefixes)  2 DUE  3 DNC_VERSION
-- ARGV: 1 key tag "{sNN}"  2 id prefix ("call_NN"), or "" for prefixes, whose calls are found when they are claimed or dialed
--       then for each entry: phone hash or prefix, campaign or "" (global), mode ("add": unless what stands lasts as long;
--       "set": always; "del"; "sweep": delete if expired), entry ("<expires ms or 0> {json}") or ""
-- RETURNS: for each entry two values: "added" | "replaced" | "kept" | "removed" | "absent", how many legs the person has out
-- IDEMPOTENT BY: the list it leaves; doing it twice changes nothing more
local tag, prefix = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function expiry(entry) return tonumber(string.match(entry, '^(%d+)') or '0') end
local function holds(entry)
  local expires = expiry(entry)
  return expires == 0 or expires > now
end
local hastened = false
-- The person's calls: hastens those that wait (of one campaign, where it is named), counts those that are out.
local function hasten(hash, campaign)
  local legs = 0
  for token in string.gmatch(redis.call('HGET', 'PHONE:' .. tag .. ':' .. string.sub(hash, 1, 2), hash) or '', '%S+') do
    if string.sub(token, 1, 1) == '*' then legs = legs + 1 end
    local id = prefix .. string.gsub(token, '^%*', '')
    local record = redis.call('GET', 'CALL_SESSION:' .. tag .. ':' .. id)
    if record and string.sub(record, 25, 25) == 'Q' then
      local lane = string.match(record, '^([^\n]*)\n', 63)
      if campaign == '' or string.gsub(lane, '[+~]$', '') == campaign then
        redis.call('LREM', 'READY:' .. tag .. ':' .. lane, 1, id)
        redis.call('ZADD', KEYS[2], now, id)
        hastened = true
      end
    end
  end
  return legs
end

local out, changed = {}, false
for i = 3, #ARGV, 4 do
  local whom, campaign, mode, entry = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local field = campaign == '' and whom or (whom .. ':' .. campaign)
  local standing = redis.call('HGET', KEYS[1], field)
  local word, legs = 'absent', 0
  if mode == 'del' or mode == 'sweep' then
    if standing and (mode == 'del' or not holds(standing)) then
      redis.call('HDEL', KEYS[1], field)
      word = holds(standing) and 'removed' or 'absent'
    end
    changed = changed or word == 'removed'
  else
    local as_long = standing and holds(standing)
      and (expiry(standing) == 0 or (expiry(entry) ~= 0 and expiry(standing) >= expiry(entry)))
    if mode == 'add' and as_long then
      word = 'kept'
    else
      word = standing and holds(standing) and 'replaced' or 'added'
      if standing ~= entry then
        redis.call('HSET', KEYS[1], field, entry)
        changed = true
      end
    end
    if prefix ~= '' then legs = hasten(whom, campaign) end
  end
  out[#out + 1] = word
  out[#out + 1] = legs
end
if changed then redis.call('INCR', KEYS[3]) end
if hastened then redis.call('PUBLISH', 'WAKE', 'c' .. string.sub(tag, 3, 4)) end
return out
