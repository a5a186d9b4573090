//! When a call may next be dialed, for who promises a time: the same hours that the verdict asks for, seen ahead.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::dialing::DialConfig;
use crate::dialing::verdict::CARRIER_QUEUE;
use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::window::{Opening, Question};

impl DialConfig {
    /// The first moment from `at` on at which the calling window, the campaign's own hours and the law let `call` be
    /// dialed; `None` where there is none in the days that can be seen ahead, or the campaign's hours cannot be read.
    #[must_use]
    pub fn next_opening(&self, call: &Call, campaign: Option<&Campaign>, at: Millis) -> Option<Millis> {
        let own = campaign.and_then(|campaign| campaign.window.as_deref());
        let question = Question {
            window: self.window,
            campaign: own.map(str::parse).transpose().ok()?,
            rules: &self.calling_rules,
            phone: &call.body.phone,
            zone: call.body.time_zone.as_deref(),
            lead: Duration::from_secs(u64::from(self.ring_timeout_s)) + CARRIER_QUEUE,
        };
        match question.at(at) {
            Opening::OpenUntil(..) => Some(at),
            Opening::ClosedUntil(open, _) => Some(open),
            Opening::Never(_) => None,
        }
    }
}
