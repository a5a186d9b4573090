-- Binds a repeat key to the fingerprint of the request that came with it first.
-- KEYS: 1 IDEMPOTENCY entry
-- ARGV: 1 fingerprint  2 TTL (s)
-- RETURNS: the fingerprint it is bound to: this one, or the first one's
-- IDEMPOTENT BY: NX; a key that is bound stays as it is
if redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2], 'NX') then return ARGV[1] end
return redis.call('GET', KEYS[1])
