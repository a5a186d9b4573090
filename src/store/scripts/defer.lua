-- Writes calls of one shard that are to wait for a time: record, due time, and what their campaigns count of it.
-- KEYS: 1 DUE
-- ARGV: 1 key tag "{sNN}"  then for each call: id, version and epoch as they were read (8 hex digits each), new record,
--       due (ms), campaign or "", the reason it waited for and does no more or "", the one it waits for now and did not or
--       "", the one whose moment changed or ""
-- RETURNS: for each call "ok" | "gone" | the record as somebody else left it
-- IDEMPOTENT BY: the token in the record's head; a re-sent change finds its own token and answers "ok"
local tag, out, dues, waits, passes = ARGV[1], {}, {}, {}, {}
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function of(all, campaign)
  all[campaign] = all[campaign] or {}
  return all[campaign]
end
local function count(campaign, reason, by)
  if reason == '' then return end
  local its = of(waits, campaign)
  its[reason] = (its[reason] or 0) + by
end
for i = 2, #ARGV, 9 do
  local id, record, due, campaign = ARGV[i], ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5]
  local key = 'CALL_SESSION:' .. tag .. ':' .. id
  local current = redis.call('GET', key)
  if not current then
    out[#out + 1] = 'gone'
  elseif string.sub(current, 17, 24) == string.sub(record, 17, 24) then
    out[#out + 1] = 'ok'
  elseif string.sub(current, 1, 16) ~= ARGV[i + 1] .. ARGV[i + 2] then
    out[#out + 1] = current
  else
    redis.call('SET', key, record)
    dues[#dues + 1] = due
    dues[#dues + 1] = id
    if campaign ~= '' then
      count(campaign, ARGV[i + 6], -1)
      count(campaign, ARGV[i + 7], 1)
      local passing = ARGV[i + 8]
      if passing ~= '' and due > now then
        local its = of(passes, campaign)
        its[passing] = math.min(its[passing] or due, due)
      end
    end
    out[#out + 1] = 'ok'
  end
end
if #dues > 0 then redis.call('ZADD', KEYS[1], unpack(dues)) end
for campaign, its in pairs(waits) do
  for reason, by in pairs(its) do
    if by ~= 0 then redis.call('HINCRBY', 'STATS:' .. tag .. ':' .. campaign, 'waiting:' .. reason, by) end
  end
end
for campaign, its in pairs(passes) do
  local stats = 'STATS:' .. tag .. ':' .. campaign
  for reason, due in pairs(its) do
    local known = tonumber(redis.call('HGET', stats, 'until:' .. reason) or '0')
    if known <= now or known > due then redis.call('HSET', stats, 'until:' .. reason, string.format('%.0f', due)) end
  end
end
return out
