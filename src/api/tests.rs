//! The API on a real redis-server, asked as a client asks.
