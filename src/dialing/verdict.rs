//! May this person be called now, by the law and by what the campaign asks? Costs nothing but computing; what must be
//! checked in the same step as the dial (do-not-call, frequency, another leg) is checked there.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::clock::{HOUR, Millis, rfc3339};
use crate::dialing::Dialer;
use crate::domain::call::{Call, Event};
use crate::domain::campaign::{Campaign, Consent};
use crate::domain::window::{Hours, Opening, Question, Rules, Window};

/// How long the carrier may hold a call back before it rings.
pub(super) const CARRIER_QUEUE: Duration = Duration::from_secs(5);
/// When a call is looked at again whose campaign's hours cannot be read. They were checked when they came in, so this is a
/// fault of ours: it must not ring, and its call must not be lost.
const UNREADABLE: Millis = HOUR;

impl Dialer {
    /// Dial it (with the evidence why), or the event that says why not.
    // An event is as large as its largest kind; it is applied at once and goes nowhere.
    #[allow(clippy::result_large_err)]
    pub(super) fn verdict(
        &self,
        call: &Call,
        campaign: Option<&Campaign>,
        now: Millis,
    ) -> Result<Value, Event> {
        let config = &self.config;
        let law = Law {
            window: config.window,
            rules: &config.calling_rules,
            lead: Duration::from_secs(u64::from(config.ring_timeout_s)) + CARRIER_QUEUE,
        };
        law.verdict(call, campaign, now)
    }
}

/// What decides, beside the call and its campaign.
struct Law<'a> {
    window: Window,
    rules: &'a Rules,
    /// From the request to the carrier until the phone has rung out.
    lead: Duration,
}

impl Law<'_> {
    #[allow(clippy::result_large_err)]
    fn verdict(&self, call: &Call, campaign: Option<&Campaign>, now: Millis) -> Result<Value, Event> {
        let expires = call.expires_in(campaign);
        if now >= expires {
            let by_window = matches!(call.body.waiting_for.as_deref(), Some("window"));
            return Err(match by_window {
                true => Event::OutOfWindow { reason: "window".into() },
                false => Event::Expired,
            });
        }
        if !consents(call.body.consent.as_ref(), campaign, now) {
            return Err(Event::ConsentMissing);
        }
        let hours = match campaign.and_then(|c| c.window.as_deref()).map(str::parse::<Hours>) {
            None => None,
            Some(Ok(hours)) => Some(hours),
            Some(Err(why)) => {
                tracing::error!(call_id = %call.id, why, "a campaign's window cannot be read");
                return Err(Event::Deferred { until: (now + UNREADABLE).min(expires), reason: "window" });
            }
        };
        let question = Question {
            window: self.window,
            campaign: hours,
            rules: self.rules,
            phone: &call.body.phone,
            zone: call.body.time_zone.as_deref(),
            lead: self.lead,
        };
        match question.at(now) {
            Opening::OpenUntil(until, window) => {
                let mut evidence = Map::new();
                evidence.insert("open_until".into(), rfc3339(until).into());
                evidence.insert("window".into(), serde_json::to_value(window.as_ref()).unwrap_or_default());
                if let Some(consent) = &call.body.consent {
                    let given =
                        json!({"basis": consent.basis, "at": rfc3339(consent.at), "source": consent.source});
                    evidence.insert("consent".into(), given);
                }
                if let Some(asked) = campaign.and_then(|c| c.require_consent) {
                    evidence.insert("consent_required".into(), json!(asked));
                }
                Ok(Value::Object(evidence))
            }
            Opening::ClosedUntil(until, _) if until < expires => {
                Err(Event::Deferred { until, reason: "window" })
            }
            Opening::ClosedUntil(..) => Err(Event::OutOfWindow { reason: "no_opening_before_expiry".into() }),
            Opening::Never(reason) => Err(Event::OutOfWindow { reason: reason.into() }),
        }
    }
}

/// Does the call carry what its campaign asks for? A consent that is dated ahead is none yet.
fn consents(given: Option<&Consent>, campaign: Option<&Campaign>, now: Millis) -> bool {
    match (campaign.and_then(|c| c.require_consent), given) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(asked), Some(given)) => given.basis >= asked && given.at <= now,
    }
}

#[cfg(test)]
#[allow(clippy::result_large_err)] // the verdict's own type, see above
mod tests {
    use super::*;
    use crate::base::clock::{DAY, SECOND};
    use crate::domain::call::Body;
    use crate::domain::campaign::{Command, ConsentBasis};
    use crate::domain::ids::{CallId, CampaignId, PhoneHash, Shard};
    use crate::domain::phone::Phone;

    /// 2026-11-20, a Friday, at 18:00 UTC: 10:00 in California.
    const NOON: Millis = 1_795_197_600_000;

    fn call(number: &str) -> Call {
        let phone = Phone::from_e164(number).expect("a number");
        let id = CallId::new(Shard::of(number));
        Call::new(id, PhoneHash::of(b"a key", number), None, Body::new(phone, NOON - DAY))
    }

    fn campaign() -> Campaign {
        Campaign::new(CampaignId::random(), NOON - DAY)
    }

    fn ask(call: &Call, campaign: Option<&Campaign>, now: Millis) -> Result<Value, Event> {
        let lead = Duration::from_secs(25);
        Law { window: Window::default(), rules: Rules::builtin(), lead }.verdict(call, campaign, now)
    }

    fn consent(basis: ConsentBasis, at: Millis) -> Option<Consent> {
        Some(Consent { basis, at, source: "form 7".into() })
    }

    #[test]
    fn the_evidence_says_why_now() {
        let mut call = call("+14155550100");
        call.body.consent = consent(ConsentBasis::Written, NOON - 30 * DAY);
        let mut campaign = campaign();
        campaign.window = Some("09:00-18:00".into());
        campaign.require_consent = Some(ConsentBasis::Express);
        let evidence = ask(&call, Some(&campaign), NOON).expect("open");
        assert_eq!(
            evidence,
            json!({
                "open_until": "2026-11-21T01:59:35.000Z",
                "window": {
                    "zones": [{"zone": "America/Los_Angeles", "local": "2026-11-20T10:00:00-08:00"}],
                    "zones_from": "number", "region": "US-CA", "rules": ["window", "campaign"],
                    "hours": "08:00-21:00", "campaign_hours": "09:00-18:00",
                    "rules_version": Rules::builtin().version(),
                },
                "consent": {"basis": "written", "at": "2026-10-21T18:00:00.000Z", "source": "form 7"},
                "consent_required": "express",
            })
        );
    }

    #[test]
    fn a_consent_that_is_asked_for_must_be_there_and_strong_enough() {
        use ConsentBasis::{Express, Written};
        let mut campaign = campaign();
        for (asked, given, fine) in [
            (None, None, true),
            (Some(Express), None, false),
            (Some(Express), consent(Express, NOON), true),
            (Some(Express), consent(Written, NOON), true),
            (Some(Written), consent(Express, NOON), false),
            (Some(Written), consent(Written, NOON), true),
            (Some(Written), consent(Written, NOON + SECOND), false),
        ] {
            let mut call = call("+14155550100");
            call.body.consent = given.clone();
            campaign.require_consent = asked;
            match ask(&call, Some(&campaign), NOON) {
                Ok(_) => assert!(fine, "{asked:?} {given:?}"),
                Err(event) => {
                    assert!(!fine && event == Event::ConsentMissing, "{asked:?} {given:?}: {event:?}")
                }
            }
        }
    }

    #[test]
    fn a_call_waits_for_its_hours_or_ends_where_none_come() {
        let mut list = campaign();
        let night = NOON + 12 * HOUR; // 22:00 in California
        let deferred = |until| Err(Event::Deferred { until, reason: "window" });
        let ca = call("+14155550100");
        assert_eq!(ask(&ca, Some(&list), night), deferred(NOON + 22 * HOUR));
        list.window = Some("14:00-16:00".into());
        assert_eq!(ask(&ca, Some(&list), NOON), deferred(NOON + 4 * HOUR));
        list.window = Some("22:00-06:00".into());
        let never = |reason: &str| Err(Event::OutOfWindow { reason: reason.into() });
        assert_eq!(ask(&ca, Some(&list), NOON), never("no_common_hour"));
        list.window = Some("whenever".into());
        assert_eq!(ask(&ca, Some(&list), NOON), deferred(NOON + HOUR), "fails closed, and loses nothing");
        list.window = None;
        list.expires_at = Some(NOON + 20 * HOUR);
        assert_eq!(ask(&ca, Some(&list), night), never("no_opening_before_expiry"));
        assert_eq!(ask(&ca, Some(&list), NOON + 20 * HOUR), Err(Event::Expired));
        let mut waited = call("+14155550100");
        waited.body.waiting_for = Some("window".into());
        assert_eq!(ask(&waited, Some(&list), NOON + 20 * HOUR), never("window"));
        let mut elsewhere = call("+14155550100");
        elsewhere.body.time_zone = Some("America/Gotham".into());
        assert_eq!(ask(&elsewhere, None, NOON), never("zone_invalid"));
    }

    #[test]
    fn a_row_that_names_no_end_waits_for_its_campaign_to_start() {
        let call = call("+14155550100");
        let made = call.body.created_at;
        let later = made + 30 * DAY;
        let mut list = campaign();
        assert_eq!(call.expires_in(Some(&list)), Millis::MAX, "a draft");
        list.command(Command::Schedule { at: later }, "api", None, made).expect("scheduled");
        assert_eq!(call.expires_in(Some(&list)), later + 2 * DAY);
        list.command(Command::Start, "keeper", None, later + HOUR).expect("started");
        let end = later + HOUR + 2 * DAY;
        assert_eq!(call.expires_in(Some(&list)), end);
        assert!(ask(&call, Some(&list), end - DAY).is_ok());
        assert_eq!(ask(&call, Some(&list), end), Err(Event::Expired));
        // Stopping it for a while does not make them younger, nor does a history that forgets.
        for n in 0..300 {
            let command = if n % 2 == 0 { Command::Pause } else { Command::Resume };
            list.command(command, "api", None, later + DAY + n).expect("it goes");
        }
        assert_eq!(call.expires_in(Some(&list)), end);
        // A row of its own day, a row that came later, and named ends.
        let mut other = call.clone();
        other.body.schedule_at = Some(later + 5 * DAY);
        assert_eq!(other.expires_in(Some(&list)), later + 7 * DAY);
        (other.body.schedule_at, other.body.created_at) = (None, later + 3 * DAY);
        assert_eq!(other.expires_in(Some(&list)), later + 5 * DAY);
        other.body.expires_at = Some(made + HOUR);
        assert_eq!(other.expires_in(Some(&list)), made + HOUR);
        list.expires_at = Some(later + 9 * DAY);
        assert_eq!(
            (other.expires_in(Some(&list)), call.expires_in(Some(&list))),
            (made + HOUR, later + 9 * DAY)
        );
        assert_eq!(call.expires_in(None), made + 2 * DAY);
    }
}
