-- Grants calls a moment, a slot and a number to call from, for the whole fleet; takes slots back and learns on the way.
-- First of the parts that make up one script, in the order of scripts.rs: what is asked, and the fleet as it stands.
-- KEYS: 1 slots (hash: id -> "epoch at campaign caller destination answered")  2 live counts (hash: campaign, @caller, =campaign: answered)
--       3 fleet (hash)  4 shares (hash: campaign -> entry, see share_of)  5 breakers (hash: those not closed)  6 events (stream)
--       7 askers (zset: node -> ms)  8 answers (hash: caller -> "legs answered legs-before answered-before ms")  9 braked (set)
-- ARGV: 1 calls per second  2 slots  3 horizon (ms)  4 most calls of the plan  5 node  6 are 1, 2 and the tuning the account's (1|0)
--       7 tuning  8-12 how many callers, asks, waiting campaigns, releases, answered calls  13-17 accepted, failed, throttled,
--       longest retry-after and queue time (ms); then the lists, flat: callers (key, cps, slots, daily), asks (id, epoch, campaign,
--       destination, callers "0,2"), waiting (campaign, calls, last plan), releases (id, epoch, outcome), answered (id); "-" = none
-- RETURNS: { now, free slots (-1: no limit), ms until the next permit, grants (ahead, caller | -wait, reason; …), plan (campaign, calls; …), ended, braked }
-- IDEMPOTENT BY: call id and epoch; asked again, a call keeps its slot, its moment and its number, and a release finds no slot
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local call, format, gmatch, match = redis.call, string.format, string.gmatch, string.match
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + tonumber(clock[2]) / 1000
local now_ms, today = floor(now), floor(now / 86400000)
local read = 0
local function arg()
  read = read + 1
  return ARGV[read]
end
local function numeric() return tonumber(arg()) end
local cps, cap, horizon, most = numeric(), numeric(), numeric(), numeric()
local node, knows, tuning = arg(), arg() == '1', arg()
local n_callers, n_asks, n_waiting, n_releases, n_answered = numeric(), numeric(), numeric(), numeric(), numeric()
local accepted, failed, throttled, retry_after, queue_time = numeric(), numeric(), numeric(), numeric(), numeric()

-- Moments granted to urgent calls may lie so far ahead; a plan looks one round further than the horizon.
local URGENT, ROUND = 1000, 150
-- Reasons, as the enum of the caller counts them.
local ACCOUNT_CPS, ACCOUNT_SLOTS, STATE, CAMPAIGN_CPS, CAMPAIGN_SLOTS, FAIR = 1, 2, 3, 4, 5, 6
local CALLER_ID, PROVIDER, DESTINATION, THROTTLE, MODEL, OUTBOX = 7, 8, 9, 10, 11, 12

local function int(n) return format('%.0f', n) end

-- What is kept of the fleet; what changes is written at the end.
local FLEET = {'base', 'holes', 'virtual', 'factor', 'factor_at', 'halved_at', 'hold', 'unlimited', 'model', 'outbox',
  'tuning', 'second', 'granted', 'before', 'cps', 'cap'}
local fleet, fleet_new = {}, {}
for i, v in ipairs(call('HMGET', KEYS[3], unpack(FLEET))) do fleet[FLEET[i]] = v end
local function keep(field, value)
  if fleet[field] ~= value then
    fleet[field] = value
    fleet_new[field] = value
  end
end
if knows then
  keep('tuning', tuning)
  keep('cps', tostring(cps))
  keep('cap', tostring(cap))
else
  -- A release knows no limits of its own: those that the last permit named hold.
  tuning = fleet.tuning or tuning
end
local T = {}
do
  local names, i = {'samples', 'window', 'bad', 'open', 'open_most', 'good', 'legs', 'none', 'quarantine', 'quarantine_most',
    'probes', 'step', 'queue', 'idle', 'answers', 'abandoned'}, 0
  for n in gmatch(tuning, '%S+') do
    i = i + 1
    if names[i] then T[names[i]] = tonumber(n) end
  end
end

local function tell(kind, key, till, campaign)
  call('XADD', KEYS[6], 'MAXLEN', '~', '1000', '*', 'kind', kind, 'key', key, 'until', int(till), 'campaign',
    campaign or '', 'at', int(now_ms))
end

-- Slots and live counts, read once, written once.
local slots, slots_new, used = {}, {}, nil
local function slot(id)
  if slots[id] == nil then slots[id] = call('HGET', KEYS[1], id) end
  return slots[id]
end
local function set_slot(id, text)
  slots[id], slots_new[id] = text, text
end
-- "epoch at campaign caller destination answered"; of an older program, epoch and moment alone.
local function parts(text)
  local epoch, at, campaign, caller, destination, answered =
    match(text, '^(%d+) (%d+) ?(%S*) ?(%S*) ?(%S*) ?(%S*)$')
  return {epoch = tonumber(epoch) or 0, at = tonumber(at) or 0, campaign = campaign or '', caller = caller or '',
    destination = destination or '', answered = answered == 'a'}
end
local lives, lives_new = {}, {}
local function live(field)
  if not lives[field] then lives[field] = tonumber(call('HGET', KEYS[2], field) or '0') end
  return lives[field]
end
local function count(field, by)
  lives[field] = max(0, live(field) + by)
  lives_new[field] = true
end
-- Adds a slot to the counts or takes it out of them.
local function count_slot(held, by)
  if #held.campaign > 1 then count(held.campaign, by) end
  if #held.caller > 0 and held.caller ~= '-' then count('@' .. held.caller, by) end
  if held.answered then count('=' .. held.campaign, by) end
end
