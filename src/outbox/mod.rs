//! Signed webhooks: sign, deliver, guard, back off, dead letters.
