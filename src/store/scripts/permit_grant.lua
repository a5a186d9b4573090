-- Of the permit script: the asks, urgent ones first, then campaigns by the least virtual time.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: nothing; permit_plan, the last part, returns
-- IDEMPOTENT BY: call id and epoch, as the whole script
local grants, pending, order = {}, {}, {}
local urgent = {}
local index_of
local function refuse(ask, reason, till)
  grants[2 * ask.n - 1] = -max(1, ceil(till - now))
  grants[2 * ask.n] = reason
end
for n = 1, n_asks do
  local at = first_ask + 5 * (n - 1)
  local ask = {n = n, id = ARGV[at + 1], epoch = tonumber(ARGV[at + 2]), campaign = ARGV[at + 3],
    destination = ARGV[at + 4], callers = ARGV[at + 5]}
  local held = slot(ask.id) and parts(slot(ask.id))
  if held and held.epoch == ask.epoch then
    -- Asked again, since the answer was lost: the same moment, the same number.
    if not index_of then
      index_of = {}
      for i = 0, n_callers - 1 do index_of[ARGV[first_caller + 4 * i + 1]] = i end
    end
    grants[2 * n - 1] = max(0, held.at - now_ms)
    grants[2 * n] = index_of[held.caller] or tonumber(match(ask.callers, '%d+') or '0')
  elseif held and held.epoch > ask.epoch then
    -- Whoever asks lost this call to another; the start would refuse it.
    refuse(ask, ACCOUNT_SLOTS, now + horizon)
  elseif ask.campaign == '-' then
    urgent[#urgent + 1] = ask
  else
    local p = pending[ask.campaign]
    if not p then
      local c = campaign_of(ask.campaign)
      p = {c = c, s = entry(ask.campaign, c.weight), asks = {}, next = 1}
      p.s.seen = now_ms
      pending[ask.campaign] = p
      order[#order + 1] = p
    end
    p.asks[#p.asks + 1] = ask
  end
end
for _, ask in ipairs(urgent) do
  local ahead, caller, till = grant(ask)
  if ahead then
    grants[2 * ask.n - 1], grants[2 * ask.n] = ahead, caller
  else
    refuse(ask, caller, till)
  end
end

local waits_here = {}
for i = 0, n_waiting - 1 do waits_here[ARGV[first_waiting + 3 * i + 1]] = true end
-- Campaigns that compete but do not ask here hold the others back: those may lead by `lead` of virtual time and no more.
local outside, weights = math.huge, 0
for id, s in pairs(#order > 0 and share_list() or {}) do
  if pending[id] then
    weights = weights + s.weight
  elseif competes(s) then
    weights = weights + s.weight
    outside = min(outside, s.tag)
  end
end
local lead = (rate and min(64, max(16, rate * (horizon + ROUND) / 4000)) or 32) / max(weights, 0.001)
for _, p in ipairs(order) do
  -- Who could not have taken it is owed no more than the lead.
  p.s.tag = max(p.s.tag, virtual - 2 * lead)
  p.s.eligible, p.s.reason, p.s.till = false, 0, 0
end
outside = max(outside, virtual - 2 * lead)

local function refuse_rest(p, reason, till)
  for i = p.next, #p.asks do refuse(p.asks[i], reason, till) end
  p.next = #p.asks + 1
  p.s.reason, p.s.till = reason, till
end
local open = 0
for _, p in ipairs(order) do
  local state = p.c.state
  if state == 'run' then open = open + 1 else refuse_rest(p, STATE, now + 1000) end
end
while open > 0 do
  local best
  for _, p in ipairs(order) do
    if p.next <= #p.asks and (not best or p.s.tag < best.s.tag) then best = p end
  end
  local s, ask = best.s, best.asks[best.next]
  if s.tag > outside + lead then
    s.eligible = true
    refuse_rest(best, FAIR, now + ROUND)
  else
    local ahead, caller, till, scope = grant(ask, best.c, s)
    if ahead then
      grants[2 * ask.n - 1], grants[2 * ask.n] = ahead, caller
      virtual = max(virtual, s.tag)
      s.tag = s.tag + 1 / best.c.weight
      s.eligible, s.got, s.credit = true, true, min(16, s.credit + 0.5)
      best.next = best.next + 1
    elseif scope == EVERYBODY then
      for _, p in ipairs(order) do
        if p.next <= #p.asks then
          p.s.eligible = true
          refuse_rest(p, caller, till)
        end
      end
      open = 0
    elseif scope == CAMPAIGN then
      -- Its own limit: while that binds, nobody waits for it.
      s.eligible = caller ~= CAMPAIGN_CPS and caller ~= CAMPAIGN_SLOTS
      refuse_rest(best, caller, till)
    else
      refuse(ask, caller, till)
      s.reason, s.till = caller, till
      if caller == CALLER_ID then s.spent = min(s.spent or till, till) end
      best.next = best.next + 1
    end
  end
  if open > 0 and best.next > #best.asks then
    open = open - 1
    if s.eligible and (n_waiting == 0 or waits_here[best.c.id]) then outside = min(outside, s.tag) end
  end
end
for _, p in ipairs(order) do
  local s = p.s
  s.asked = s.eligible and (n_waiting == 0 or waits_here[p.c.id]) and now_ms or 0
  -- Every number it may use is spent: its calls are not brought again before one is free, but for one that looks.
  s.blocked = (s.spent and not s.got) and min(s.spent, now + 5 * T.step) or 0
end
