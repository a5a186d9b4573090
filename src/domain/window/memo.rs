//! What a place's open stretches are on a day: computed once, then remembered, since a list asks the same question for
//! thousands of numbers. `benches/micro.rs` measures both (`calling_window`, `calling_window_new`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Evidence, Hours, Question, Rule, Span, Window, ZoneTime, intersect, open_spans, zone_by_name};
use crate::base::clock::{DAY, Millis, SECOND};
use crate::domain::phone;

/// Most answers kept: every area code, with some campaigns' windows. More are computed again.
const KEPT: usize = 4_096;

/// All that the stretches of a day depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The UTC day.
    day: u64,
    daily: Option<Hours>,
    campaign: Option<Hours>,
    zones: Zones,
    region: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Zones {
    /// A number's zones: the address of their set, which lives as long as the program.
    OfNumber(usize),
    /// The contact's own zone.
    Own(Box<str>),
}

/// The open stretches of a place from one UTC day on, with what its evidence says.
#[derive(Debug)]
pub(super) struct Stretches {
    pub(super) spans: Vec<Span>,
    zones: Vec<(String, TimeZone)>,
    evidence: Evidence,
    /// The evidence of the newest second asked for: a batch of calls shares it.
    newest: Mutex<Option<(u64, Arc<Evidence>)>>,
}

impl Stretches {
    /// Computes them. Errors are the words of [`super::Opening::Never`].
    fn compute(question: &Question<'_>, day: u64) -> Result<Self, &'static str> {
        let at = i64::try_from(day * DAY).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let at = at.ok_or("time_invalid")?;
        let names: &[&str] = match &question.zone {
            Some(zone) => std::slice::from_ref(zone),
            None => phone::zone_set(question.phone),
        };
        let zones: Option<Vec<TimeZone>> = names.iter().map(|name| zone_by_name(name)).collect();
        let zones = zones.ok_or("zone_invalid")?;
        if zones.is_empty() {
            return Err("zone_unknown");
        }
        let rules = question.rules;
        let region = rules.region(question.phone);
        // Without a window there are no rules either: a rehearsal, which a campaign's own hours still bind.
        let daily = match question.window {
            Window::Daily(hours) => Some(hours),
            Window::Off => None,
        };
        let applied: Vec<&Rule> = match daily {
            Some(_) => rules.for_place(region, names).collect(),
            None => Vec::new(),
        };
        let mut open: Option<Vec<Span>> = None;
        let mut narrow = |spans: Vec<Span>| {
            open = Some(match open.take() {
                Some(so_far) => intersect(&so_far, &spans),
                None => spans,
            });
        };
        for zone in &zones {
            for hours in daily.into_iter().chain(question.campaign) {
                narrow(open_spans(zone, at, |_| Some(hours)));
            }
            for rule in &applied {
                narrow(open_spans(zone, at, |date| rules.hours(rule, region, date)));
            }
        }
        let own = [("window", daily.is_some()), ("campaign", question.campaign.is_some())];
        let own = own.into_iter().filter_map(|(word, there)| there.then_some(word));
        let evidence = Evidence {
            zones: Vec::new(),
            zones_from: if question.zone.is_some() { "contact" } else { "number" }.to_owned(),
            region: region.map(str::to_owned),
            rules: own.chain(applied.iter().map(|rule| rule.id.as_str())).map(str::to_owned).collect(),
            hours: daily.map(|hours| hours.to_string()),
            campaign_hours: question.campaign.map(|hours| hours.to_string()),
            rules_version: rules.version().to_owned(),
        };
        let zones = names.iter().map(|name| (*name).to_owned()).zip(zones).collect();
        Ok(Self { spans: open.unwrap_or_default(), zones, evidence, newest: Mutex::default() })
    }

    /// What is kept of a decision taken at `now`.
    pub(super) fn evidence(&self, now: Millis) -> Arc<Evidence> {
        let second = now / SECOND;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, evidence)) = &*newest
            && *of == second
        {
            return Arc::clone(evidence);
        }
        let at = i64::try_from(second).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default();
        let zones = self.zones.iter().map(|(zone, tz)| ZoneTime {
            zone: zone.clone(),
            local: at.to_zoned(tz.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        });
        let evidence = Arc::new(Evidence { zones: zones.collect(), ..self.evidence.clone() });
        *newest = Some((second, Arc::clone(&evidence)));
        evidence
    }
}

/// What was computed, for one set of rules.
#[derive(Debug, Default)]
pub(super) struct Memo(Mutex<HashMap<Key, Arc<Stretches>>>);

impl Clone for Memo {
    /// Rules that are copied may be changed: what they answered before is not theirs.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Memo {
    /// The stretches that answer a question at `now`.
    ///
    /// # Errors
    /// The word of [`super::Opening::Never`]; nothing is remembered then.
    pub(super) fn stretches(
        &self,
        question: &Question<'_>,
        now: Millis,
    ) -> Result<Arc<Stretches>, &'static str> {
        let key = Key {
            day: now / DAY,
            daily: match question.window {
                Window::Daily(hours) => Some(hours),
                Window::Off => None,
            },
            campaign: question.campaign,
            zones: match question.zone {
                Some(zone) => Zones::Own(zone.into()),
                None => Zones::OfNumber(phone::zone_set(question.phone).as_ptr() as usize),
            },
            region: question.rules.region_number(question.phone),
        };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        let computed = Arc::new(Stretches::compute(question, key.day)?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.retain(|other, _| other.day == key.day);
        }
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key, Arc::clone(&computed));
        Ok(computed)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
