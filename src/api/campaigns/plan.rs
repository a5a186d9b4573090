//! How a list would go: when its calls open, how long they take, and which are never dialed. Pure, but for the law.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::clock::{DAY, Millis, SECOND, rfc3339};
use crate::domain::call::Call;
use crate::domain::campaign::Campaign;
use crate::domain::phone::{self, Phone};
use crate::domain::window::{Hours, Opening, Question, Rules, Window};

/// Openings that are told one by one.
const TOLD: usize = 50;
/// Openings are told to this precision.
const GRAIN: Millis = 60 * SECOND;
/// Steps after which an estimate is given up: years of days.
const STEPS: usize = 20_000;
/// How far ahead an estimate looks.
const HORIZON: Millis = 400 * DAY;

/// What decides when a call may ring, beside the call.
#[derive(Clone, Copy)]
pub(super) struct Law<'a> {
    pub(super) window: Window,
    pub(super) hours: Option<Hours>,
    pub(super) rules: &'a Rules,
    pub(super) lead: Duration,
}

impl Law<'_> {
    fn at(&self, phone: &Phone, zone: Option<&str>, now: Millis) -> Opening {
        let Self { window, hours, rules, lead } = *self;
        Question { window, campaign: hours, rules, phone, zone, lead }.at(now)
    }
}

/// Calls that may be dialed alike: the same place, opening and expiry.
struct Group {
    phone: Phone,
    zone: Option<String>,
    opens: Millis,
    expires: Millis,
    left: u64,
}

/// A moment at which calls may first be dialed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct OpeningView {
    /// When (RFC 3339, to the minute).
    at: String,
    /// How many.
    calls: u64,
}

/// How long it takes, were it alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Estimate {
    /// Calls a second: the least of the limits on calls per second, and of lines divided by the length of a call.
    calls_per_second: f64,
    /// When the first call is placed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    first_dial_at: Option<String>,
    /// When the last call is placed (RFC 3339), first attempts alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_dial_at: Option<String>,
    /// From the first to the last, seconds.
    duration_seconds: u64,
    /// Calls that expire before their turn.
    not_reached: u64,
}

/// Calls, counted by when they may ring.
pub(super) struct Plan<'a> {
    law: Law<'a>,
    now: Millis,
    starts: Millis,
    /// From when its calls may be dialed, so that those expire which name no end.
    first: Millis,
    campaign_expires: Option<Millis>,
    groups: HashMap<(String, Millis, Millis), Group>,
    pub(super) dialable: u64,
    pub(super) dialable_now: u64,
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) zones: BTreeMap<String, u64>,
    pub(super) regions: BTreeMap<String, u64>,
    /// Calls that the frequency cap holds back for a while.
    pub(super) frequency_capped: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(law: Law<'a>, campaign: &Campaign, now: Millis) -> Self {
        let starts = campaign.starts_at.filter(|at| *at > now).unwrap_or(now);
        Self {
            law,
            now,
            starts,
            first: campaign.first_dials_at().unwrap_or(starts),
            campaign_expires: campaign.expires_at,
            groups: HashMap::new(),
            dialable: 0,
            dialable_now: 0,
            skipped: BTreeMap::new(),
            zones: BTreeMap::new(),
            regions: BTreeMap::new(),
            frequency_capped: 0,
        }
    }

    /// A call that is never dialed.
    pub(super) fn skip(&mut self, reason: &str) {
        add(&mut self.skipped, reason);
    }

    /// A call that is not skipped for what it is; `capped_until` by the frequency cap.
    pub(super) fn call(&mut self, call: &Call, capped_until: Option<Millis>) {
        let phone = &call.body.phone;
        let own = call.body.time_zone.as_deref();
        let place = own.map_or_else(|| zones_of(phone), str::to_owned);
        let region = self.law.rules.region(phone).unwrap_or("none");
        add(&mut self.regions, region);
        add(&mut self.zones, &place);

        let earliest = self.starts.max(call.head.due);
        let from = earliest.max(capped_until.unwrap_or(0));
        let expires = call.expires_within(self.first, self.campaign_expires);
        let opens = match self.law.at(phone, own, from) {
            Opening::Never(reason) => return self.skip(reason),
            Opening::OpenUntil(..) => from,
            Opening::ClosedUntil(at, _) => at,
        };
        if opens >= expires {
            let capped = capped_until.is_some_and(|until| until >= expires);
            return self.skip(if capped { "frequency" } else { "expires_before_opening" });
        }
        if from > earliest {
            self.frequency_capped += 1;
        }
        self.dialable += 1;
        if opens <= self.now {
            self.dialable_now += 1;
        }
        // To the minute, later and never earlier: a list with a time in each row makes no more groups than minutes.
        let opens = if opens <= self.now { self.now } else { opens.div_ceil(GRAIN) * GRAIN };
        let expires = (expires / GRAIN) * GRAIN;
        let key = (format!("{place}/{region}"), opens, expires);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            phone: phone.clone(),
            zone: own.map(str::to_owned),
            opens,
            expires,
            left: 0,
        });
        group.left += 1;
    }

    /// The next openings with their counts, and how many calls open later than those.
    pub(super) fn openings(&self) -> (Vec<OpeningView>, u64) {
        let mut by_time: BTreeMap<Millis, u64> = BTreeMap::new();
        for group in self.groups.values() {
            *by_time.entry(group.opens).or_default() += group.left;
        }
        let later = by_time.values().skip(TOLD).sum();
        let view = |(at, calls): (Millis, u64)| OpeningView { at: rfc3339(at), calls };
        (by_time.into_iter().take(TOLD).map(view).collect(), later)
    }

    /// Dials them all in thought, at `rate` calls a second: those first whose hours end first.
    pub(super) fn estimate(self, rate: f64) -> Estimate {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        let each = f64::from(1_000_u32) / rate.max(f64::MIN_POSITIVE);
        let (mut first, mut last, mut not_reached) = (None, None, 0);
        let mut now = self.starts;
        for _ in 0..STEPS {
            groups.retain(|group| {
                let over = group.expires <= now;
                not_reached += if over { group.left } else { 0 };
                group.left > 0 && !over
            });
            let Some(next) = groups.iter().map(|g| g.opens).min() else { break };
            now = now.max(next);
            if now > self.starts.saturating_add(HORIZON) {
                break;
            }
            // Which are open, and until when; those whose hours were over meanwhile wait for the next.
            let mut best: Option<(Millis, &mut Group)> = None;
            for group in groups.iter_mut().filter(|g| g.opens <= now) {
                match self.law.at(&group.phone, group.zone.as_deref(), now) {
                    Opening::OpenUntil(until, _) => {
                        let until = until.min(group.expires);
                        if best.as_ref().is_none_or(|(soonest, _)| until < *soonest) {
                            best = Some((until, group));
                        }
                    }
                    Opening::ClosedUntil(at, _) => group.opens = at.max(now + 1),
                    Opening::Never(_) => group.opens = Millis::MAX,
                }
            }
            let Some((until, group)) = best else { continue };
            let room = ((until.saturating_sub(now)) as f64 / each).ceil().max(1.0) as u64;
            let dialed = group.left.min(room);
            first = first.or(Some(now));
            let end = now.saturating_add(((dialed - 1) as f64 * each) as Millis);
            last = Some(end);
            group.left -= dialed;
            now = now.saturating_add((dialed as f64 * each).ceil().max(1.0) as Millis);
        }
        not_reached += groups.iter().map(|g| g.left).sum::<u64>();
        Estimate {
            calls_per_second: (rate * 1_000.0).round() / 1_000.0,
            first_dial_at: first.map(rfc3339),
            last_dial_at: last.map(rfc3339),
            duration_seconds: last.unwrap_or(0).saturating_sub(first.unwrap_or(0)) / SECOND,
            not_reached,
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

/// The zones a number may lie in, as one word.
fn zones_of(phone: &Phone) -> String {
    let zones = phone::zones(phone);
    match zones.as_slice() {
        [] => "unknown".to_owned(),
        few @ ([_] | [_, _] | [_, _, _]) => few.join(" or "),
        many => format!("{} or {} others", many.first().unwrap_or(&""), many.len() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::HOUR;
    use crate::domain::call::Body;
    use crate::domain::ids::{CallId, CampaignId, PhoneHash, Shard};

    /// 2026-11-20, a Friday, at 18:00 UTC: 10:00 in California, 13:00 in New York.
    const NOW: Millis = 1_795_197_600_000;

    fn law() -> Law<'static> {
        let lead = Duration::from_secs(35);
        Law { window: Window::default(), hours: None, rules: Rules::builtin(), lead }
    }

    fn call(n: usize, area: &str) -> Call {
        let number = format!("+1{area}555{:04}", 2_000 + n);
        let id = CallId::new(Shard::of(&number));
        let body = Body::new(Phone::from_e164(&number).unwrap(), NOW);
        Call::new(id, PhoneHash::of(b"a key", &number), None, body)
    }

    fn campaign() -> Campaign {
        Campaign::new(CampaignId::random(), NOW)
    }

    #[test]
    fn what_is_open_now_is_dialed_at_the_rate() {
        let mut plan = Plan::new(law(), &campaign(), NOW);
        (0..100).for_each(|n| plan.call(&call(n, "415"), None));
        assert_eq!((plan.dialable, plan.dialable_now), (100, 100));
        assert_eq!(plan.openings().0, [OpeningView { at: rfc3339(NOW), calls: 100 }]);
        let estimate = plan.estimate(2.0);
        assert_eq!(estimate.first_dial_at, Some(rfc3339(NOW)));
        assert_eq!((estimate.duration_seconds, estimate.not_reached), (49, 0));
    }

    #[test]
    fn what_is_too_much_for_a_day_goes_on_the_next() {
        let mut plan = Plan::new(law(), &campaign(), NOW);
        (0..150).for_each(|n| plan.call(&call(n, "415"), None));
        // Ten an hour: some 110 of them before nine in the evening, the rest on Saturday.
        let estimate = plan.estimate(10.0 / 3_600.0);
        assert!(
            estimate.duration_seconds > 20 * 3_600 && estimate.duration_seconds < 27 * 3_600,
            "{estimate:?}"
        );
        assert_eq!(estimate.not_reached, 0);
    }

    #[test]
    fn what_expires_before_its_turn_is_told() {
        let mut plan = Plan::new(law(), &campaign(), NOW);
        for n in 0..20 {
            let mut call = call(n, "415");
            call.body.expires_at = Some(NOW + HOUR);
            plan.call(&call, None);
        }
        let estimate = plan.estimate(10.0 / 3_600.0);
        assert!((9..=10).contains(&estimate.not_reached), "{estimate:?}");
    }

    #[test]
    fn calls_that_may_never_ring_say_why() {
        let mut plan = Plan::new(law(), &campaign(), NOW);
        let mut lost = call(0, "415");
        lost.body.time_zone = Some("Mars/Olympus".into());
        plan.call(&lost, None);
        let mut short = call(1, "415");
        short.body.expires_at = Some(NOW + HOUR);
        plan.call(&short, Some(NOW + 2 * HOUR));
        let mut night = call(2, "415");
        night.head.due = NOW + 12 * HOUR;
        night.body.expires_at = Some(NOW + 13 * HOUR);
        plan.call(&night, None);
        plan.call(&call(3, "415"), Some(NOW + HOUR));
        let expected = [("expires_before_opening", 1), ("frequency", 1), ("zone_invalid", 1)];
        assert!(plan.skipped.iter().map(|(k, n)| (k.as_str(), *n)).eq(expected), "{:?}", plan.skipped);
        assert_eq!((plan.dialable, plan.dialable_now, plan.frequency_capped), (1, 0, 1));
        assert_eq!(plan.estimate(1.0).first_dial_at, Some(rfc3339(NOW + HOUR)));
    }
}
