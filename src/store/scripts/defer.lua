-- Writes calls of one shard that are to wait for a time: record and due time.
-- KEYS: 1 DUE
-- ARGV: 1 key tag "{sNN}"  then for each call: id, version and epoch as they were read (8 hex digits each), new record,
--       due (ms)
-- RETURNS: for each call "ok" | "gone" | the record as somebody else left it
-- IDEMPOTENT BY: the token in the record's head; a re-sent change finds its own token and answers "ok"
local tag, out = ARGV[1], {}
for i = 2, #ARGV, 5 do
  local id, record = ARGV[i], ARGV[i + 3]
  local key = 'CALL_SESSION:' .. tag .. ':' .. id
  local current = redis.call('GET', key)
  if not current then
    out[#out + 1] = 'gone'
  elseif string.sub(current, 17, 24) == string.sub(record, 17, 24) then
    out[#out + 1] = 'ok'
  elseif string.sub(current, 1, 16) ~= ARGV[i + 1] .. ARGV[i + 2] then
    out[#out + 1] = current
  else
    redis.call('SET', key, record)
    redis.call('ZADD', KEYS[1], ARGV[i + 4], id)
    out[#out + 1] = 'ok'
  end
end
return out
