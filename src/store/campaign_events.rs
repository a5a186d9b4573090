//! What those who watch a campaign are told: two streams of one slot, read as one.

use fred::prelude::*;
use serde_json::{Map, Value as Json};

use crate::domain::ids::CampaignId;
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// Events that one read brings of each stream at most.
const PAGE: usize = 200;

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// Its id in the stream, `<ms>-<n>`: later ones are greater.
    pub id: String,
    /// Its place among the events of both streams.
    place: (u64, u64),
    /// Does it tell of the whole fleet (a breaker, a number's quarantine, the carrier's throttle)?
    pub fleet: bool,
    /// What it tells.
    pub data: Json,
}

/// The two numbers of a stream's id; `None` for what is none.
fn place(id: &str) -> Option<(u64, u64)> {
    let (at, n) = id.split_once('-')?;
    Some((at.parse().ok()?, n.parse().ok()?))
}

impl StreamEvent {
    /// Is this the id of an event?
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        place(text).is_some()
    }

    fn read(fleet: bool, entry: Value) -> Option<Self> {
        let mut entry = entry.into_array().into_iter();
        let (id, fields) = (entry.next()?.as_string()?, entry.next()?.into_array());
        let mut data = Map::new();
        for pair in fields.chunks_exact(2) {
            data.insert(pair[0].as_string()?, Json::String(pair[1].as_string()?));
        }
        // A campaign's own event is one JSON text; the fleet's are fields.
        let data = match data.get("e").and_then(Json::as_str) {
            Some(text) => serde_json::from_str(text).ok()?,
            None => Json::Object(data),
        };
        Some(Self { place: place(&id)?, id, fleet, data })
    }
}

impl Store {
    /// Events of a campaign, and of the fleet's that concern it, after the one named, oldest first.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn campaign_events(
        &self,
        id: &CampaignId,
        after: &str,
    ) -> Result<Vec<StreamEvent>, StoreError> {
        let from = format!("({after}");
        let own = self.range("XRANGE", keys::campaign_events(id), &from, "+", PAGE);
        let fleet = self.range("XRANGE", keys::fleet("FLEET_EVENTS"), &from, "+", PAGE);
        let (own, fleet) = futures::future::try_join(own, fleet).await?;
        let concerns = |event: &StreamEvent| {
            event.data.get("campaign").and_then(Json::as_str).is_none_or(|c| c.is_empty() || c == id.as_str())
        };
        // Where one stream's page is full, what the other has beyond it would be passed over: it comes with the next.
        let limit = [&own, &fleet].iter().filter(|p| p.len() >= PAGE).filter_map(|p| p.last()?.id()).min();
        let own = own.into_iter().filter_map(|Entry(v)| StreamEvent::read(false, v));
        let fleet = fleet.into_iter().filter_map(|Entry(v)| StreamEvent::read(true, v)).filter(concerns);
        let mut all: Vec<StreamEvent> =
            own.chain(fleet).filter(|e| limit.is_none_or(|limit| e.place <= limit)).collect();
        all.sort_by_key(|e| e.place);
        Ok(all)
    }

    /// The id of the newest event of either stream, `0-0` where there is none.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn newest_event(&self, id: &CampaignId) -> Result<String, StoreError> {
        let own = self.range("XREVRANGE", keys::campaign_events(id), "+", "-", 1);
        let fleet = self.range("XREVRANGE", keys::fleet("FLEET_EVENTS"), "+", "-", 1);
        let (own, fleet) = futures::future::try_join(own, fleet).await?;
        let newest = own.iter().chain(&fleet).filter_map(Entry::id).max().unwrap_or((0, 0));
        Ok(format!("{}-{}", newest.0, newest.1))
    }

    async fn range(
        &self,
        command: &'static str,
        key: String,
        from: &str,
        to: &str,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let args = vec![key, from.to_owned(), to.to_owned(), "COUNT".into(), most.to_string()];
        Ok(self.command(command, args).await?.into_array().into_iter().map(Entry).collect())
    }
}

/// An entry as Redis gives it.
struct Entry(Value);

impl Entry {
    fn id(&self) -> Option<(u64, u64)> {
        match &self.0 {
            Value::Array(parts) => place(&parts.first()?.as_string()?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_their_numbers() {
        assert!(place("10-0") > place("9-1") && place("9-10") > place("9-2"));
        for no in ["", "9", "9-", "-1", "a-b", "9-1-1"] {
            assert!(!StreamEvent::is_id(no), "{no}");
        }
    }
}
