//! Telephone numbers: any notation in, E.164 out, and the time zones a number may lie in.
