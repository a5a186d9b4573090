-- Takes one call out of the index of calls, where many ids may share an entry.
-- KEYS: 1 CALLS day index
-- ARGV: 1 call id  2 when it was accepted (ms): the entry it most likely stands in
-- RETURNS: 1 where it was found, else 0
-- IDEMPOTENT BY: what it leaves; a second run finds nothing
local short = string.sub(ARGV[1], 8)
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then return 1 end
local function from(entries)
  for i = 1, #entries, 2 do
    local member, score = entries[i], entries[i + 1]
    for at = 1, #member, 22 do
      if string.sub(member, at, at + 21) == short then
        redis.call('ZREM', KEYS[1], member)
        local rest = string.sub(member, 1, at - 1) .. string.sub(member, at + 22)
        if rest ~= '' then redis.call('ZADD', KEYS[1], score, rest) end
        return 1
      end
    end
  end
  return 0
end
if from(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[2], 'WITHSCORES')) == 1 then return 1 end
return from(redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'))
