-- Puts other lines in the place of a transcript, while its call is in wrap-up and nobody wrote since.
-- KEYS: 1 CALL_SESSION  2 TRANSCRIPT
-- ARGV: 1 version (8 hex digits)  2 epoch (8 hex digits)  3… the lines
-- RETURNS: 1 replaced, 0 the record is another's, gone, or no longer in wrap-up
-- IDEMPOTENT BY: the lines themselves; the same again leaves the same
local head = redis.call('GETRANGE', KEYS[1], 0, 24)
if string.sub(head, 1, 8) ~= ARGV[1] or string.sub(head, 9, 16) ~= ARGV[2] or string.sub(head, 25, 25) ~= 'W' then
  return 0
end
redis.call('DEL', KEYS[2])
for i = 3, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
return 1
