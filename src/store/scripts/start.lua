-- Starts the dials of one shard: all checks of each person, then the record, its lease, the person's counters and the line
-- of evidence, in one step for each call: what is refused leaves no trace.
-- KEYS: 1 DUE  2 SUPPRESSION  3 PREFIXES  4 DNC_VERSION  5 STATS day  6 AUDIT  7 SERVER
-- ARGV: 1 key tag "{sNN}"  2 most calls to one number in the window  3 window (ms)  4 how soon to look again while another
--       call to the person has a leg out (ms)  5 name of the hour's counter of started calls
--       then for each call: id, version and epoch as they were read (8 hex digits each), new record, due (ms), attempt,
--       number (E.164), campaign or "", evidence (a JSON object that is not empty), the reason it waited for or ""
-- RETURNS: for each call three values: "ok", "", calls in the window before this one | "refused", reason, when to look
--          again (ms) | "conflict", the record as it stands, 0 | "gone", "", 0;
--          or "held" alone: the server is not the one that this shard was dialed from last (see store/fence.rs)
-- IDEMPOTENT BY: the token in the record's head; a re-sent start finds its own token and answers "ok"
local tag, cap, window, leg_wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)')
if server then
  local known = redis.call('GET', KEYS[7])
  if not known then
    redis.call('SET', KEYS[7], server)
  elseif known ~= server then
    return {'held'}
  end
end
local listed, prefixed = redis.call('EXISTS', KEYS[2]) == 1, redis.call('EXISTS', KEYS[3]) == 1
local dnc = redis.call('GET', KEYS[4]) or '0'

local function any_holds(entries)
  for _, entry in ipairs(entries) do
    if entry then
      local expires = tonumber(string.match(entry, '^(%d+)') or '0')
      if expires == 0 or expires > now then return true end
    end
  end
  return false
end
local function banned(hash, number, campaign)
  if listed and any_holds(redis.call('HMGET', KEYS[2], hash, hash .. ':' .. campaign)) then return true end
  if not prefixed then return false end
  local fields = {}
  for length = 2, #number do
    local prefix = string.sub(number, 1, length)
    fields[#fields + 1] = prefix
    fields[#fields + 1] = prefix .. ':' .. campaign
  end
  return any_holds(redis.call('HMGET', KEYS[3], unpack(fields)))
end

-- The records as they stand are read in one go, and those that are started are written in one; an id that came twice
-- would find what was written for it first.
local records, sessions = {}, {}
for i = 6, #ARGV, 10 do sessions[#sessions + 1] = 'CALL_SESSION:' .. tag .. ':' .. ARGV[i] end
if #sessions > 0 then
  for n, record in ipairs(redis.call('MGET', unpack(sessions))) do records[sessions[n]] = record end
end

local out, dues, lines, total, by_campaign, waited, written = {}, {}, {}, 0, {}, {}, {}
local head = string.format('{"at":%.0f,"calls_in_24h":', now)
-- As text: Redis writes a number out anew each time it is handed one.
local window_text, now_text = string.format('%.0f', window), string.format('%.0f', now)
local function answer(word, text, number)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = word, text, number
end
for i = 6, #ARGV, 10 do
  local id, record, campaign = ARGV[i], ARGV[i + 3], ARGV[i + 7]
  local hash, short = string.sub(record, 39, 62), string.sub(id, 8)
  local key, rate = 'CALL_SESSION:' .. tag .. ':' .. id, 'RATE_LIMIT:' .. tag .. ':' .. hash
  local bucket = 'PHONE:' .. tag .. ':' .. string.sub(hash, 1, 2)
  local current = records[key]
  if not current then
    answer('gone', '', 0)
  elseif string.sub(current, 17, 24) == string.sub(record, 17, 24) then
    answer('ok', '', redis.call('ZCARD', rate) - 1)
  elseif string.sub(current, 1, 16) ~= ARGV[i + 1] .. ARGV[i + 2] then
    answer('conflict', current, 0)
  elseif banned(hash, ARGV[i + 6], campaign) then
    answer('refused', 'suppressed', now)
  else
    local tokens, leg_out = {}, false
    local known = redis.call('HGET', bucket, hash) or short
    -- Most people have this call alone.
    if known ~= short then
      for token in string.gmatch(known, '%S+') do
        local is_out = string.sub(token, 1, 1) == '*'
        if (is_out and string.sub(token, 2) or token) ~= short then
          tokens[#tokens + 1] = token
          leg_out = leg_out or is_out
        end
      end
    end
    -- Most people were not called of late.
    local before = redis.call('ZCARD', rate)
    if before > 0 and redis.call('ZREMRANGEBYSCORE', rate, '-inf', now - window) > 0 then
      before = redis.call('ZCARD', rate)
    end
    local member = string.sub(id, -8) .. ':' .. ARGV[i + 5]
    if leg_out then
      answer('refused', 'leg_outstanding', now + leg_wait)
    elseif before >= cap and not redis.call('ZSCORE', rate, member) then
      local oldest = redis.call('ZRANGE', rate, 0, 0, 'WITHSCORES')
      answer('refused', 'frequency', tonumber(oldest[2] or now) + window)
    else
      redis.call('ZADD', rate, now_text, member)
      redis.call('PEXPIRE', rate, window_text)
      records[key] = record
      written[#written + 1] = key
      written[#written + 1] = record
      tokens[#tokens + 1] = '*' .. short
      redis.call('HSET', bucket, hash, table.concat(tokens, ' '))
      dues[#dues + 1] = ARGV[i + 4]
      dues[#dues + 1] = id
      lines[#lines + 1] = head .. before .. ',"dnc_version":' .. dnc .. ',' .. string.sub(ARGV[i + 8], 2)
      total = total + 1
      if campaign ~= '' then
        by_campaign[campaign] = (by_campaign[campaign] or 0) + 1
        if ARGV[i + 9] ~= '' then waited[#waited + 1] = {campaign, 'waiting:' .. ARGV[i + 9]} end
      end
      answer('ok', '', before)
    end
  end
end
if total > 0 then
  redis.call('MSET', unpack(written))
  redis.call('ZADD', KEYS[1], unpack(dues))
  redis.call('RPUSH', KEYS[6], unpack(lines))
  redis.call('HINCRBY', KEYS[5], 'started', total)
  redis.call('HINCRBY', KEYS[5], ARGV[5], total)
  redis.call('EXPIRE', KEYS[5], 3456000)
  for campaign, n in pairs(by_campaign) do redis.call('HINCRBY', 'STATS:' .. tag .. ':' .. campaign, 'started', n) end
  for _, it in ipairs(waited) do redis.call('HINCRBY', 'STATS:' .. tag .. ':' .. it[1], it[2], -1) end
end
return out
