//! When a call may next be dialed, for who promises a time: the same hours that the verdict asks for, seen ahead.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::dialing::DialConfig;
use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::window::{self, Opening};

impl DialConfig {
    /// The first moment from `at` on at which the calling window and the law let `call` be dialed; `None` where there is
    /// none in the days that can be seen ahead.
    #[must_use]
    pub fn next_opening(&self, call: &Call, _campaign: Option<&Campaign>, at: Millis) -> Option<Millis> {
        let lead = Duration::from_secs(u64::from(self.ring_timeout_s)) + Duration::from_secs(5);
        let zone = call.body.time_zone.as_deref();
        match window::open_until(self.window, &self.calling_rules, &call.body.phone, zone, at, lead) {
            Opening::OpenUntil(..) => Some(at),
            Opening::ClosedUntil(open, _) => Some(open),
            Opening::Never(_) => None,
        }
    }
}
