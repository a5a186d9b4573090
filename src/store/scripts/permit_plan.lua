-- Of the permit script, its end: what each waiting campaign is to bring next; all that changed is written.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: as the first part says
-- IDEMPOTENT BY: call id and epoch, as the whole script
-- Shares `total` among campaigns so that their virtual times rise together; each takes at most what it may.
local function fill(list, total)
  local sum, low, high = 0, math.huge, 0
  for _, it in ipairs(list) do
    sum = sum + it.most
    low, high = min(low, it.tag), max(high, it.tag + it.most / it.weight)
  end
  if sum <= total then
    for _, it in ipairs(list) do it.calls = it.most end
    return
  end
  for _ = 1, 40 do
    local level, taken = (low + high) / 2, 0
    for _, it in ipairs(list) do taken = taken + min(it.most, max(0, (level - it.tag) * it.weight)) end
    if taken > total then high = level else low = level end
  end
  local left = total
  for _, it in ipairs(list) do
    it.calls = floor(min(it.most, max(0, (low - it.tag) * it.weight)) + 1e-6)
    left = left - it.calls
  end
  while left > 0 do
    local best
    for _, it in ipairs(list) do
      local at = it.tag + it.calls / it.weight
      if it.calls < it.most and (not best or at < best.tag + best.calls / best.weight) then best = it end
    end
    if not best then return end
    best.calls = best.calls + 1
    left = left - 1
  end
end

local plan, ended, braked = {}, {}, {}
local free = cap > 0 and max(0, cap - used) or -1
local wait = interval > 0 and max(0, ceil(tat - now - horizon)) or 0
if held_until > now then wait = max(wait, ceil(held_until - now)) end
if most > 0 then
  call('ZADD', KEYS[7], int(now_ms), node)
  call('ZREMRANGEBYSCORE', KEYS[7], '-inf', int(now_ms - 1000))
  local nodes = max(1, call('ZCARD', KEYS[7]))

  -- Dials that can be granted until the round after the next one.
  local possible, why = math.huge, ACCOUNT_SLOTS
  if cap > 0 then possible = max(0, max(1, cap - reserve) - used) end
  if interval > 0 and possible > 0 then
    possible = min(possible, max(1, #holes + floor((now + horizon + ROUND - tat) / interval) + 1))
  end
  local bar = barred('carrier', '')
  if held_until > now then
    possible, why = 0, held_reason
  elseif bar then
    possible, why = 0, PROVIDER
  elseif breakers.carrier then
    possible = min(possible, 1)
  end
  local total = min(most, ceil(possible / nodes))

  local list, barren, named, all_weights = {}, {}, 0, 0
  for i = 0, n_waiting - 1 do
    local c = campaign_of(ARGV[first_waiting + 3 * i + 1])
    if c.state == 'run' then all_weights = all_weights + c.weight end
  end
  for i = 0, n_waiting - 1 do
    local at = first_waiting + 3 * i
    local id, waiting, planned = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local c = campaign_of(id)
    if c.braked then braked[#braked + 1] = id end
    newly_braked[id] = nil
    local s = entry(id, c.weight)
    s.seen = now_ms
    local p = pending[id]
    s.planned, s.brought = s.planned + planned, s.brought + min(planned, p and #p.asks or 0)
    if s.planned > 64 then s.planned, s.brought = s.planned / 2, s.brought / 2 end
    if not p then s.reason, s.till = 0, 0 end
    if c.state == 'end' then
      ended[#ended + 1] = id
    end
    if c.state ~= 'run' then
      s.reason, s.till = STATE, 0
    else
      local may = min(waiting, allowed(c) - live(id))
      if may <= 0 and waiting > 0 then s.reason, s.till = CAMPAIGN_SLOTS, 0 end
      if c.cps > 0 and may > 0 then
        may = min(may, floor((now + horizon + ROUND - campaign_at(c)) * c.cps / 1000) + 1)
        if may <= 0 then s.reason, s.till = CAMPAIGN_CPS, campaign_at(c) end
      end
      if s.blocked > now then may = min(may, 1) end
      if total == 0 and s.reason == 0 then s.reason, s.till = why, max(held_until, bar or 0) end
      local yield = min(1, (s.brought + 2) / (s.planned + 2))
      if may > 0 and total > 0 then
        local it = {id = id, tag = max(s.tag, virtual - 64 / all_weights), weight = c.weight, most = may, calls = 0,
          yield = yield, waiting = waiting}
        -- Of 30 calls brought not one could ask, by the law or a window: those after them are looked at beside the
        -- others' shares, not in their place.
        if yield < 1 / 16 then barren[#barren + 1] = it else list[#list + 1] = it end
      end
    end
  end
  fill(list, total)
  for _, it in ipairs(list) do
    if it.calls > 0 then
      local calls = min(it.waiting, ceil(it.calls / it.yield - 1e-9), max(it.calls, most - named))
      plan[#plan + 1] = it.id
      plan[#plan + 1] = calls
      named = named + calls
    end
  end
  for _, it in ipairs(barren) do
    local calls = min(it.waiting, 64, max(0, most - named))
    if calls > 0 then
      plan[#plan + 1] = it.id
      plan[#plan + 1] = calls
      named = named + calls
    end
  end
end
for id in pairs(newly_braked) do braked[#braked + 1] = id end

-- Writes.
local function hset(key, list)
  for from = 1, #list, 1000 do call('HSET', key, unpack(list, from, min(#list, from + 999))) end
end
local function hdel(key, list)
  for from = 1, #list, 1000 do call('HDEL', key, unpack(list, from, min(#list, from + 999))) end
end
local set, del = {}, {}
for id, text in pairs(slots_new) do
  if text then
    set[#set + 1] = id
    set[#set + 1] = text
  else
    del[#del + 1] = id
  end
end
hset(KEYS[1], set)
hdel(KEYS[1], del)
set, del = {}, {}
for field in pairs(lives_new) do
  if lives[field] > 0 then
    set[#set + 1] = field
    set[#set + 1] = int(lives[field])
  else
    del[#del + 1] = field
  end
end
hset(KEYS[2], set)
hdel(KEYS[2], del)
set = {}
for key, c in pairs(callers) do
  if c.told then
    set[#set + 1] = key
    set[#set + 1] = format('%d %d %d %d %.0f', c.legs[1], c.legs[2], c.legs[3], c.legs[4], now_ms)
  end
  if c.changed then
    local name = 'CALLER:{cap}:' .. key
    call('HSET', name, 'base', format('%.3f', c.base), 'day', int(today), 'today', int(c.today), 'till', int(c.till), 'level',
      int(c.level), 'probes', int(c.probes), 'results', int(c.results), 'daily', c.daily, 'last_bad', c.last_bad)
    if c.is_new then call('PEXPIRE', name, '259200000') end
  end
end
hset(KEYS[8], set)
for id, c in pairs(campaigns) do
  if c.learned and c.known then
    call('HSET', 'PACE:{cap}:' .. id, 'base', format('%.3f', c.base), 'rate', format('%.4f', c.rate), 'legs', int(c.legs))
  end
end
set = {}
for id, s in pairs(shares or {}) do
  if s.changed then
    set[#set + 1] = id
    set[#set + 1] = format('%.6f %.0f %.0f %s %.0f %.1f %.1f %d %.0f %.1f', s.tag, s.seen, s.asked, s.weight, s.blocked,
      s.planned, s.brought, s.reason, s.till, s.credit)
  end
end
hset(KEYS[4], set)
if granted > 0 then
  keep('base', format('%.3f', base))
  keep('virtual', format('%.6f', virtual))
  if cps == 0 then
    local second = int(floor(now / 1000))
    if fleet.second ~= second then
      keep('before', tonumber(fleet.second or '0') == floor(now / 1000) - 1 and fleet.granted or '0')
      keep('second', second)
      fleet.granted = '0'
    end
    keep('granted', int(tonumber(fleet.granted or '0') + granted))
  end
end
if #holes > 0 then
  local list = {}
  for i, at in ipairs(holes) do list[i] = format('%.3f', at) end
  keep('holes', format('%.6f ', interval) .. table.concat(list, ' '))
elseif had_holes then
  keep('holes', '')
end
set = {}
for field, value in pairs(fleet_new) do
  set[#set + 1] = field
  set[#set + 1] = value
end
hset(KEYS[3], set)
return {now_ms, free, wait, grants, plan, ended, braked}
