//! May this person be called now, by the law and by what the campaign asks? Costs nothing but computing; what must be
//! checked in the same step as the dial is checked there again.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event};
use crate::domain::window::{self, Opening};

impl Dialer {
    /// Dial it (with the evidence why), or the event that says why not.
    // An event is as large as its largest kind; it is applied at once and goes nowhere.
    #[allow(clippy::result_large_err)]
    pub(super) fn verdict(&self, call: &Call, banned: bool, now: Millis) -> Result<serde_json::Value, Event> {
        if banned {
            return Err(Event::Suppressed);
        }
        let expires = call.expires_at();
        if now >= expires {
            let by_window = matches!(call.body.waiting_for.as_deref(), Some("window"));
            return Err(match by_window {
                true => Event::OutOfWindow { reason: "window".into() },
                false => Event::Expired,
            });
        }
        let config = &self.config;
        let lead = Duration::from_secs(u64::from(config.ring_timeout_s)) + Duration::from_secs(5);
        let zone = call.body.time_zone.as_deref();
        match window::open_until(config.window, &config.calling_rules, &call.body.phone, zone, now, lead) {
            Opening::OpenUntil(until, evidence) => Ok(serde_json::json!({
                "open_until": crate::base::clock::rfc3339(until), "window": evidence,
            })),
            Opening::ClosedUntil(until, _) if until < expires => {
                Err(Event::Deferred { until, reason: "window" })
            }
            Opening::ClosedUntil(..) => Err(Event::OutOfWindow { reason: "no_opening_before_expiry".into() }),
            Opening::Never(reason) => Err(Event::OutOfWindow { reason: reason.into() }),
        }
    }
}
