//! Calling windows: when a number may ring, in its own time.
