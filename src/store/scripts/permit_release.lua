-- Of the permit script: slots come back with what became of their legs; nodes tell what they learned.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: nothing; permit_plan, the last part, returns
-- IDEMPOTENT BY: call id and epoch, as the whole script
local RANG_OR_BUSY = {answered = true, abandoned = true, machine = true, no_answer = true, busy = true}
local newly_braked = {}

-- Live answers and those that heard nobody in time, for each UTC day; over 3 % in 30 days stops the campaign.
local heard_of = {}
local function live_answers(id, n, abandoned)
  local key = 'ABANDONED:{cap}:' .. id
  call('HINCRBY', key, 'n' .. today, n)
  call('PEXPIRE', key, '2678400000')
  if abandoned == 0 then return end
  call('HINCRBY', key, 'x' .. today, abandoned)
  local all, heard, lost = call('HGETALL', key), 0, 0
  for i = 1, #all, 2 do
    local kind, day = match(all[i], '^(%a)(%d+)$')
    if today - tonumber(day) >= 30 then
      call('HDEL', key, all[i])
    elseif kind == 'n' then
      heard = heard + all[i + 1]
    else
      lost = lost + all[i + 1]
    end
  end
  local c = campaign_of(id)
  if heard >= T.answers and lost > heard * T.abandoned and c.known and not c.braked then
    c.braked = true
    if c.state == 'run' then c.state = 'hold' end
    -- The state is the campaign's own; beside a brake it counts as held.
    call('HSET', 'PACE:{cap}:' .. id, 'brake', format('%d/%d', lost, heard))
    call('SADD', KEYS[9], id)
    newly_braked[id] = true
    tell('brake', format('%d/%d', lost, heard), 0, id)
  end
end

local function release(id, epoch, outcome)
  local text = slot(id)
  if not text then return end
  local held = parts(text)
  if held.epoch > epoch then return end
  set_slot(id, false)
  used = used - 1
  count_slot(held, -1)
  local placed = outcome ~= '-'
  if #held.campaign > 1 then
    local c = campaign_of(held.campaign)
    if not placed then
      -- Charged at the grant for a dial that never was: the share comes back, the rate does not.
      local s = share_list()[held.campaign]
      -- (Every second one at most: a list of which nothing can be placed must not take the others' rate for nothing.)
      if s and s.credit >= 1 then s.tag, s.credit, s.changed = s.tag - 1 / c.weight, s.credit - 1, true end
    elseif outcome ~= 'other' then
      local answered = outcome == 'answered' or outcome == 'abandoned'
      if c.target > 0 and c.known then
        c.rate = c.legs == 0 and 0 or c.rate
        c.rate = c.rate + ((answered and 1 or 0) - c.rate) * max(1 / (c.legs + 1), 1 / 50)
        c.legs, c.learned = c.legs + 1, true
      end
      if answered then
        local h = heard_of[held.campaign] or {0, 0}
        h[1], h[2] = h[1] + 1, h[2] + (outcome == 'abandoned' and 1 or 0)
        heard_of[held.campaign] = h
      end
    end
  end
  if #held.caller > 0 and held.caller ~= '-' then
    if placed then
      caller_leg(held.caller, outcome)
    else
      local c = caller_of(held.caller)
      if floor(held.at / 86400000) == today then c.today = max(0, c.today - 1) end
      if c.probes >= 0 then c.probes = min(T.probes, c.probes + 1) end
      c.changed = true
    end
  end
  local good = RANG_OR_BUSY[outcome] and 1 or 0
  local bad = (outcome == 'failed' or outcome == 'blocked') and 1 or 0
  if #held.destination > 0 and held.destination ~= '-' then sample('destination:' .. held.destination, good, bad, id) end
  if #held.caller > 0 and held.caller ~= '-' then
    local name = 'caller:' .. held.caller
    if bad == 1 and not breakers[name] then
      -- One destination that fails again and again says nothing of the number.
      local c = caller_of(held.caller)
      if c.last_bad == held.destination then bad = 0 end
      c.last_bad, c.changed = held.destination, true
    end
    sample(name, good, bad, id)
  end
end

-- The lists stand in ARGV in the order of the header; slots of all that is named are read in one go.
local first_caller = read
local first_ask = first_caller + 4 * n_callers
local first_waiting = first_ask + 5 * n_asks
local first_release = first_waiting + 3 * n_waiting
local first_answered = first_release + 3 * n_releases
do
  local ids = {}
  for i = 0, n_asks - 1 do ids[#ids + 1] = ARGV[first_ask + 5 * i + 1] end
  for i = 0, n_releases - 1 do ids[#ids + 1] = ARGV[first_release + 3 * i + 1] end
  for from = 1, #ids, 1000 do
    local found = call('HMGET', KEYS[1], unpack(ids, from, min(#ids, from + 999)))
    for i, text in ipairs(found) do slots[ids[from + i - 1]] = text end
  end
end
used = call('HLEN', KEYS[1])
for i = 0, n_answered - 1 do
  local id = ARGV[first_answered + i + 1]
  local held = slot(id) and parts(slot(id))
  if held and not held.answered and #held.campaign > 1 then
    set_slot(id, slot(id) .. ' a')
    count('=' .. held.campaign, 1)
    -- It rang, which is all that a probe is to find out; a breaker that is closed learns it at the release.
    for _, name in ipairs({'destination:' .. held.destination, 'caller:' .. held.caller}) do
      if breakers[name] then sample(name, 1, 0, id) end
    end
  end
end
for i = 0, n_releases - 1 do
  local at = first_release + 3 * i
  release(ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
end
if accepted + failed > 0 then sample('carrier', accepted, failed, nil) end
judge_all()
for id, h in pairs(heard_of) do live_answers(id, h[1], h[2]) end

-- The account's rate: halved when the carrier says so, at most once a second, and a tenth of it back each second.
local factor = tonumber(fleet.factor or '1')
if factor < 1 then
  factor = min(1, factor + 0.1 * max(0, now - tonumber(fleet.factor_at or '0')) / T.step)
  if factor >= 1 then
    keep('factor', '1')
    keep('unlimited', '0')
  end
end
if throttled > 0 or queue_time > T.queue then
  if now - tonumber(fleet.halved_at or '0') >= T.step then
    -- Without a limit of ours it is what was granted in the last second that was too much.
    if cps == 0 and factor >= 1 then
      local granted, before = tonumber(fleet.granted or '0'), tonumber(fleet.before or '0')
      keep('unlimited', int(max(granted, before, 1)))
    end
    factor = max(1 / 32, factor / 2)
    keep('factor', format('%.6f', factor))
    keep('factor_at', format('%.3f', now))
    keep('halved_at', format('%.3f', now))
    tell('throttle', format('%.3f', factor), now_ms + (1 - factor) * 10 * T.step)
  end
  if throttled > 0 and retry_after > 0 then
    keep('hold', int(max(tonumber(fleet.hold or '0'), now_ms + min(retry_after, 60000))))
  end
end
