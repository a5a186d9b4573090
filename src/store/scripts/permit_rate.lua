-- Of the permit script: the rate, as moments one interval apart, and who is given which.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: nothing; permit_plan, the last part, returns
-- IDEMPOTENT BY: call id and epoch, as the whole script
-- nil: no limit. The least of the account (as the carrier lets it) and of the gates.
local rate, rate_reason, held_until, held_reason = cps > 0 and cps or nil, ACCOUNT_CPS, 0, THROTTLE
if factor < 1 then
  rate = (rate or max(1, tonumber(fleet.unlimited or '1'))) * factor
  rate_reason = THROTTLE
end
held_until = tonumber(fleet.hold or '0')
for name, reason in pairs({model = MODEL, outbox = OUTBOX}) do
  local most_cps, till = match(fleet[name] or '', '^(%S+) (%d+)$')
  most_cps, till = tonumber(most_cps), tonumber(till)
  if most_cps and till > now then
    if most_cps <= 0 then
      if till > held_until then held_until, held_reason = till, reason end
    elseif not rate or most_cps < rate then
      rate, rate_reason = most_cps, reason
    end
  end
end
local interval = rate and 1000 / rate or 0
local base = tonumber(fleet.base or '0')
local tat = max(now, base + interval)
-- Moments that were passed over for a campaign that had to come later; another call may still have them.
local holes = {}
do
  local of, list = match(fleet.holes or '', '^(%S+) (.*)$')
  if of and of == format('%.6f', interval) then
    for at in gmatch(list, '%S+') do
      at = tonumber(at)
      if at >= now then holes[#holes + 1] = at end
    end
  end
end
local had_holes = (fleet.holes or '') ~= ''
-- The first free moment from `need` on, and which hole it is; nil: none within `ahead`.
local function moment(need, ahead)
  if interval == 0 then return need end
  for i, at in ipairs(holes) do
    if at >= need then return at, i end
  end
  local at = tat
  if at < need then at = tat + ceil((need - tat) / interval - 1e-9) * interval end
  if at - now > ahead then return nil end
  return at
end
local function take_moment(at, hole)
  if interval == 0 then return end
  if hole then
    table.remove(holes, hole)
    return
  end
  while tat < at - 1e-6 and #holes < 256 do
    holes[#holes + 1] = tat
    tat = tat + interval
  end
  base = at
  tat = at + interval
end

-- The numbers of the request, each read once, and the lists of them that the asks name.
local numbers, lists = {}, {}
local function candidates(list)
  local found = lists[list]
  if found then return found end
  found = {}
  for word in gmatch(list, '%d+') do
    local index = tonumber(word)
    local n = numbers[index]
    if not n and index < n_callers then
      local at = first_caller + 4 * index
      n = {index = index, c = caller_of(ARGV[at + 1]), cps = tonumber(ARGV[at + 2]), cap = tonumber(ARGV[at + 3]),
        daily = tonumber(ARGV[at + 4])}
      if n.c.daily ~= ARGV[at + 4] then n.c.daily, n.c.changed = ARGV[at + 4], true end
      numbers[index] = n
    end
    found[#found + 1] = n
  end
  lists[list] = found
  return found
end
-- The first that may be used, and from when; or nil, and until when there is none.
local function choose(list, id, own, ahead)
  local soonest = math.huge
  for _, n in ipairs(candidates(list)) do
    local c, till = n.c, nil
    local at = n.cps > 0 and max(now, c.base + 1000 / n.cps) or now
    if c.till > now then
      till = c.till
    elseif n.daily > 0 and c.today >= n.daily then
      till = (today + 1) * 86400000
    elseif c.probes == 0 then
      till = now + T.step
    elseif n.cap > 0 and live(c.field) - ((own and own.caller == c.key) and 1 or 0) >= n.cap then
      till = now + horizon
    elseif at - now > ahead then
      till = at - ahead
    elseif any_breaker then
      till = barred(c.breaker, id)
    end
    if not till then return n, at end
    soonest = min(soonest, till)
  end
  return nil, soonest < math.huge and soonest or now + T.step
end

local reserve = cap > 1 and max(1, floor(cap / 100)) or 0
local granted = 0
-- Grants, or answers why not, until when, and for whom else this holds: nobody, the campaign's others, everybody.
local EVERYBODY, CAMPAIGN = 2, 1
local function grant(ask, c, s)
  local own = slot(ask.id) and parts(slot(ask.id)) or nil
  local ahead = c and horizon or URGENT
  if held_until > now then return nil, held_reason, held_until, EVERYBODY end
  local till = any_breaker and barred('carrier', ask.id)
  if till then return nil, PROVIDER, till, EVERYBODY end
  if not own and cap > 0 and used >= (c and max(1, cap - reserve) or cap) then
    return nil, ACCOUNT_SLOTS, now + horizon, EVERYBODY
  end
  if interval > 0 and #holes == 0 and tat - now > ahead then return nil, rate_reason, tat - ahead, EVERYBODY end
  local need = now
  if c then
    local held = live(c.id) - ((own and own.campaign == c.id) and 1 or 0)
    if held >= allowed(c) then return nil, CAMPAIGN_SLOTS, now + horizon, CAMPAIGN end
    need = campaign_at(c)
    if need - now > ahead then return nil, CAMPAIGN_CPS, need - ahead, CAMPAIGN end
  end
  till = any_breaker and barred('destination:' .. ask.destination, ask.id)
  if till then return nil, DESTINATION, till end
  local number, from = choose(ask.callers, ask.id, own, ahead)
  if not number then return nil, CALLER_ID, from end
  local at, hole = moment(max(need, from), ahead)
  if not at then return nil, rate_reason, max(tat - ahead, now + 1), c and CAMPAIGN or nil end
  take_moment(at, hole)
  if c and c.cps > 0 then
    -- From when it was allowed, not from the moment it got: the grid of the account must not cost it rate.
    c.base, c.learned = max(need, at - 1000 / c.cps), true
  end
  local caller = number.c
  if number.cps > 0 then caller.base = max(from, at - 1000 / number.cps) end
  caller.today, caller.changed = caller.today + 1, true
  if caller.probes > 0 then caller.probes = caller.probes - 1 end
  if any_breaker then
    probe('carrier', ask.id)
    probe('destination:' .. ask.destination, ask.id)
    probe(caller.breaker, ask.id)
  end
  if own then
    -- Of a claim whose lease lapsed before the dial: that number was not used after all.
    count_slot(own, -1)
    local before = #own.caller > 0 and own.caller ~= '-' and caller_of(own.caller)
    if before and floor(own.at / 86400000) == today then before.today, before.changed = max(0, before.today - 1), true end
  else
    used = used + 1
  end
  if c then count(c.id, 1) end
  count(caller.field, 1)
  local at_ms = ceil(at - 1e-6)
  local destination = ask.destination == '' and '-' or ask.destination
  set_slot(ask.id, format('%d %.0f %s %s %s', ask.epoch, at_ms, c and c.id or '-', caller.key, destination))
  granted = granted + 1
  return max(0, at_ms - now_ms), number.index
end
