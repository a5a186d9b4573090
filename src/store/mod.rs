//! The only user of fred: every key, every script, every record in Redis.
