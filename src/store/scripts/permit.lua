-- Grants calls a moment to be dialed and a slot to live in, for the whole fleet; takes slots back on the way.
-- KEYS: 1 slots (hash: call id -> "epoch since")  2 rate (the theoretical arrival time of the next dial, ms)
-- ARGV: 1 calls per second (0 = no limit)  2 slots (0 = no limit)  3 slots kept for urgent calls  4 horizon (ms): how far
--       ahead a dial may be promised  5 asks (JSON: [[id, epoch, urgent 0|1], …])  6 releases (JSON: [[id, epoch], …])
-- RETURNS: { now, free slots, ms until the next permit, then for each ask: earliest POST (ms), or -(ms to wait) }
-- IDEMPOTENT BY: call id and epoch; asked again, a call keeps its slot and its moment
local cps, cap, reserve, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local asks, releases = cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000
for _, it in ipairs(releases) do
  local held = redis.call('HGET', KEYS[1], it[1])
  if held and tonumber(string.match(held, '^(%d+)')) <= it[2] then redis.call('HDEL', KEYS[1], it[1]) end
end
local interval = cps > 0 and 1000 / cps or 0
local tat = math.max(now, tonumber(redis.call('GET', KEYS[2]) or '0'))
local used = redis.call('HLEN', KEYS[1])
local out = {}
for i, it in ipairs(asks) do
  local id, epoch, urgent = it[1], it[2], it[3] == 1
  local held = redis.call('HGET', KEYS[1], id)
  local held_epoch, at = nil, nil
  if held then held_epoch, at = string.match(held, '^(%d+) (%d+)$') end
  if held and tonumber(held_epoch) == epoch then
    out[i] = tonumber(at)
  else
    -- A slot this call still holds from an earlier claim is its own to use again.
    local full = cap > 0 and not held and used >= (urgent and cap or math.max(1, cap - reserve))
    if full then
      out[i] = -200
    elseif tat - now > horizon then
      out[i] = -math.ceil(tat - now - horizon + 1)
    else
      local at_ms = math.ceil(tat)
      if not held then used = used + 1 end
      redis.call('HSET', KEYS[1], id, string.format('%d %d', epoch, at_ms))
      out[i] = at_ms
      tat = tat + interval
    end
  end
end
redis.call('SET', KEYS[2], string.format('%.3f', tat), 'PX', 60000)
local wait = math.max(0, math.ceil(tat - now - horizon))
local free = cap > 0 and math.max(0, cap - used) or 1000000
return {math.floor(now), free, wait, unpack(out)}
