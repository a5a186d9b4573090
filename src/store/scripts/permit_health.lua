-- Of the permit script: circuit breakers (carrier, destination, caller) and the quarantine of callers.
-- KEYS: those of the first part
-- ARGV: those of the first part
-- RETURNS: nothing; permit_plan, the last part, returns
-- IDEMPOTENT BY: call id and epoch, as the whole script
local breakers = {}
local function save_breaker(name)
  local b = breakers[name]
  if b then
    call('HSET', KEYS[5], name, format('%s %.0f %d %d %s', b.state, b.till, b.level, b.good, b.probe))
  else
    call('HDEL', KEYS[5], name)
  end
end
do
  -- Closed ones are not kept here, so that this reads nothing on most days.
  local all = call('HGETALL', KEYS[5])
  for i = 1, #all, 2 do
    local name = all[i]
    local state, till, level, good, probe = match(all[i + 1], '^(%a) (%d+) (%d+) (%d+) (%S+)$')
    local b = {state = state, till = tonumber(till), level = tonumber(level), good = tonumber(good), probe = probe}
    breakers[name] = b
    if b.state == 'o' and b.till <= now then
      b.state, b.good, b.probe = 'h', 0, '-'
      save_breaker(name)
      tell('breaker_half_open', name, 0)
    elseif b.state == 'h' and now - b.till > 86400000 then
      -- Nobody called there for a day: nothing is known of it any more.
      breakers[name] = nil
      save_breaker(name)
    end
  end
end
local any_breaker = next(breakers) ~= nil
local function open_breaker(name, level)
  any_breaker = true
  local till = now_ms + min(T.open * 2 ^ level, T.open_most)
  breakers[name] = {state = 'o', till = till, level = level, good = 0, probe = '-'}
  save_breaker(name)
  call('HDEL', 'BREAKER_SAMPLES:{cap}', name)
  tell('breaker_open', name, till)
end
-- What became of attempts, gathered over the request and judged at its end; of a probe at once where the breaker is half-open (id nil: whatever came back counts).
local gathered = {}
local function sample(name, good, bad, id)
  local b = breakers[name]
  if b then
    if b.state == 'h' and (not id or b.probe == id) then
      b.probe = '-'
      if bad > 0 then
        open_breaker(name, b.level + 1)
      elseif b.good + good >= T.good then
        breakers[name] = nil
        save_breaker(name)
        tell('breaker_closed', name, 0)
      else
        b.good = b.good + good
        save_breaker(name)
      end
    end
    return
  end
  if good + bad == 0 then return end
  local g = gathered[name]
  if not g then
    g = {0, 0}
    gathered[name] = g
  end
  g[1], g[2] = g[1] + good, g[2] + bad
end
local function judge(name, text, good, bad)
  -- The present third of the window and the two before it.
  local third = floor(now * 3 / T.window)
  local at, n0, b0, n1, b1, n2, b2 = match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  local age = at and third - tonumber(at) or 3
  if age == 1 then
    n0, b0, n1, b1, n2, b2 = 0, 0, n0, b0, n1, b1
  elseif age == 2 then
    n0, b0, n1, b1, n2, b2 = 0, 0, 0, 0, n0, b0
  elseif age ~= 0 then
    n0, b0, n1, b1, n2, b2 = 0, 0, 0, 0, 0, 0
  end
  n0, b0 = n0 + good + bad, b0 + bad
  local n, all_bad = n0 + n1 + n2, b0 + b1 + b2
  if bad > 0 and n >= T.samples and all_bad >= T.bad * n then
    open_breaker(name, 0)
    return nil
  end
  return format('%d %d %d %d %d %d %d', third, n0, b0, n1, b1, n2, b2)
end
local function judge_all()
  local names = {}
  for name in pairs(gathered) do names[#names + 1] = name end
  for from = 1, #names, 1000 do
    local to, set = min(#names, from + 999), {}
    for i, text in ipairs(call('HMGET', 'BREAKER_SAMPLES:{cap}', unpack(names, from, to))) do
      local name = names[from + i - 1]
      local new = judge(name, text, gathered[name][1], gathered[name][2])
      if new then
        set[#set + 1] = name
        set[#set + 1] = new
      end
    end
    if #set > 0 then call('HSET', 'BREAKER_SAMPLES:{cap}', unpack(set)) end
  end
  if #names > 0 then call('PEXPIRE', 'BREAKER_SAMPLES:{cap}', '3600000') end
end
-- Until when a call may not pass; nil: it may.
local function barred(name, id)
  local b = breakers[name]
  if not b then return nil end
  if b.state == 'o' then return b.till end
  if b.probe == '-' or b.probe == id or not slot(b.probe) then return nil end
  return now_ms + T.step
end
-- A call that passes a half-open breaker is its probe.
local function probe(name, id)
  local b = breakers[name]
  if b and b.state == 'h' then
    b.probe = id
    save_breaker(name)
  end
end

local callers = {}
local function caller_of(key)
  local c = callers[key]
  if c then return c end
  local v = call('HMGET', 'CALLER:{cap}:' .. key, 'base', 'day', 'today', 'till', 'level', 'probes', 'results', 'daily', 'last_bad')
  -- Three days from the first call of a day, which is longer than any rest.
  c = {key = key, is_new = tonumber(v[2] or '0') ~= today, base = tonumber(v[1] or '0'), today = tonumber(v[2] or '0') == today and tonumber(v[3] or '0') or 0,
    field = '@' .. key, breaker = 'caller:' .. key, till = tonumber(v[4] or '0'), level = tonumber(v[5] or '0'), probes = tonumber(v[6] or '-1'),
    results = tonumber(v[7] or '0'), daily = v[8] or '0', last_bad = v[9] or ''}
  callers[key] = c
  if c.level > 0 and c.till <= now and c.probes < 0 then
    c.probes, c.results, c.changed = T.probes, 0, true
    tell('quarantine_probe', key, 0)
  end
  return c
end
-- Legs that rang and were answered, before this request or as it left them: of one caller, and of all others together.
local function answers(c, text)
  if not c.legs then
    local n0, a0, n1, a1 = match(text or call('HGET', KEYS[8], c.key) or '', '^(%d+) (%d+) (%d+) (%d+)')
    c.legs = {tonumber(n0 or '0'), tonumber(a0 or '0'), tonumber(n1 or '0'), tonumber(a1 or '0')}
  end
  return c.legs
end
local function others(key)
  local legs, answered, awake = 0, 0, 0
  local all = call('HGETALL', KEYS[8])
  for i = 1, #all, 2 do
    local n0, a0, n1, a1, at = match(all[i + 1], '^(%d+) (%d+) (%d+) (%d+) (%d+)')
    if callers[all[i]] and callers[all[i]].legs then n0, a0, n1, a1 = unpack(callers[all[i]].legs) end
    if now - tonumber(at) > 86400000 then
      call('HDEL', KEYS[8], all[i])
    elseif all[i] ~= key then
      legs, answered = legs + n0 + n1, answered + a0 + a1
      if caller_of(all[i]).till <= now then awake = awake + 1 end
    end
  end
  return legs, answered, awake
end
local RANG = {answered = 1, abandoned = 1, machine = 0, no_answer = 0}
-- A leg of a caller is over: its answer rate, beside the others', says whether people still pick up.
local function caller_leg(key, outcome)
  local c = caller_of(key)
  local l, rang = answers(c), RANG[outcome]
  if rang then
    l[1], l[2] = l[1] + 1, l[2] + rang
    if l[1] >= T.none then l[1], l[2], l[3], l[4] = 0, 0, l[1], l[2] end
  end
  c.told = true
  local legs, picked = l[1] + l[3], l[2] + l[4]
  local probing = c.probes >= 0
  if probing then c.results, c.changed = c.results + 1, true end
  local collapsed = false
  if probing and c.results >= T.probes or not probing and c.till <= now and rang == 0 and legs >= T.legs and legs % 5 == 0 then
    local their_legs, theirs, awake = others(key)
    collapsed = their_legs >= T.legs and picked * their_legs * 3 < theirs * legs
      or picked == 0 and legs >= (probing and 1 or T.none)
    -- The last one never rests: a list that nobody answers must not silence the whole account.
    collapsed = collapsed and awake > 0
    if collapsed then
      c.till = now_ms + min(T.quarantine * 2 ^ c.level, T.quarantine_most)
      c.level, c.probes, c.results = c.level + 1, -1, 0
      l[1], l[2], l[3], l[4] = 0, 0, 0, 0
      tell('quarantine', key, c.till)
    elseif probing then
      c.till, c.level, c.probes, c.results = 0, 0, -1, 0
      tell('quarantine_over', key, 0)
    end
    c.changed = true
  end
end
