-- Of the permit script: campaigns as pacing knows them, and their shares by virtual time.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: nothing; permit_plan, the last part, returns
-- IDEMPOTENT BY: call id and epoch, as the whole script
-- An entry: "finish-tag seen asked weight blocked planned brought reason until credit": the virtual time of its next grant; when it
-- was last seen waiting, when it last asked with success to be expected; until when all its callers are spent; of the calls
-- that plans named and of those that came to ask (their share is what the law lets through); why it is not dialed, until when; how
-- many unplaced dials it may still be credited.
local shares, W = nil, {}
local virtual = tonumber(fleet.virtual or '0')
local function share_list()
  if shares then return shares end
  shares = {}
  local all = call('HGETALL', KEYS[4])
  for i = 1, #all, 2 do
    local v = {}
    for n in gmatch(all[i + 1], '%S+') do v[#v + 1] = tonumber(n) end
    local s = {tag = v[1] or 0, seen = v[2] or 0, asked = v[3] or 0, weight = v[4] or 1, blocked = v[5] or 0,
      planned = v[6] or 0, brought = v[7] or 0, reason = v[8] or 0, till = v[9] or 0,
      credit = v[10] or 0}
    -- Idle for so long, it forgets what it was owed and what it owes.
    if now - s.seen > T.idle then call('HDEL', KEYS[4], all[i]) else shares[all[i]] = s end
  end
  return shares
end
-- Takes part in the competition: asked of late, with success to be expected.
local function competes(s) return now - s.asked <= 1000 end
local function entry(id, weight)
  local s = share_list()[id]
  if not s then
    local least
    for _, other in pairs(shares) do
      if competes(other) and (not least or other.tag < least) then least = other.tag end
    end
    s = {tag = max(least or virtual, 0), seen = 0, asked = 0, weight = weight, blocked = 0, planned = 0, brought = 0,
      reason = 0, till = 0, credit = 4}
    shares[id] = s
  end
  s.weight, s.changed = weight, true
  return s
end

local campaigns = {}
local function campaign_of(id)
  local c = campaigns[id]
  if c then return c end
  local v = call('HMGET', 'PACE:{cap}:' .. id, 'state', 'weight', 'cps', 'cap', 'target', 'base', 'rate', 'legs', 'brake')
  c = {id = id, known = v[1] and true, state = v[1] or 'hold', weight = max(tonumber(v[2] or '1') or 1, 0.001),
    cps = tonumber(v[3] or '0') or 0, cap = tonumber(v[4] or '0') or 0, target = tonumber(v[5] or '0') or 0,
    base = tonumber(v[6] or '0') or 0, rate = tonumber(v[7] or '1') or 1, legs = tonumber(v[8] or '0') or 0,
    braked = v[9] and true}
  -- Whatever a writer who has not heard of it yet says: nothing is dialed past a brake.
  if c.braked and c.state == 'run' then c.state = 'hold' end
  campaigns[id] = c
  return c
end
-- Most slots it may hold: its own limit, and with an answer-rate controller what keeps its conversations going.
local function allowed(c)
  local limit = c.cap > 0 and c.cap or math.huge
  if c.target > 0 then
    local answered = live('=' .. c.id)
    -- Until enough legs are known, as if everybody answered: the first minute must not abandon anybody.
    local rate = c.legs < 30 and 1 or max(c.rate, 0.2)
    limit = min(limit, answered + max(0, ceil((c.target - answered) / rate - 1e-9)))
  end
  return limit
end
local function campaign_at(c) return c.cps > 0 and max(now, c.base + 1000 / c.cps) or now end
