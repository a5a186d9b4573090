-- Puts calls that were claimed and not decided about back to the heads of their lanes, in the order they stood there.
-- KEYS: 1 DUE  2 ACTIVE
-- ARGV: 1 key tag "{sNN}"  then for each call, the one that stood first first: id, epoch of the claim (8 hex digits)
-- RETURNS: how many went back
-- IDEMPOTENT BY: the place in DUE, which a call gives up when it goes back; and the epoch, which this raises
local tag, back = ARGV[1], 0
for i = #ARGV - 1, 2, -2 do
  local id = ARGV[i]
  -- Head and lane alone; the body may be long.
  local head = redis.call('GETRANGE', 'CALL_SESSION:' .. tag .. ':' .. id, 0, 127)
  if string.sub(head, 25, 25) == 'Q' and string.sub(head, 9, 16) == ARGV[i + 1] then
    if redis.call('ZREM', KEYS[1], id) == 1 then
      -- The epoch rises, so that whoever put it back cannot start it all the same while it stands in its lane.
      local epoch = string.format('%08x', tonumber(ARGV[i + 1], 16) + 1)
      redis.call('SETRANGE', 'CALL_SESSION:' .. tag .. ':' .. id, 8, epoch)
      local lane = string.match(head, '^([^\n]*)\n', 63)
      redis.call('LPUSH', 'READY:' .. tag .. ':' .. lane, id)
      redis.call('SADD', KEYS[2], lane)
      back = back + 1
    end
  end
end
return back
