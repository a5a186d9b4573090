//! What stops or slows dialing from outside a permit: gates of the nodes, the abandonment brake; and the fleet's events.

use std::collections::HashMap;

use fred::prelude::*;

use crate::base::clock::Millis;
use crate::domain::ids::CampaignId;
use crate::store::capacity::{braked_key, events_key, fleet_key};
use crate::store::connect::{Store, StoreError};
use crate::store::keys;

/// Who may slow all dials down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The model's limits of requests and tokens.
    Model,
    /// Webhooks that wait.
    Outbox,
}

impl GateKind {
    /// All.
    pub const ALL: [Self; 2] = [Self::Model, Self::Outbox];

    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Outbox => "outbox",
        }
    }
}

/// A limit for all dials that ends by itself. The newest of a kind holds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Gate {
    /// Whose.
    pub kind: GateKind,
    /// Calls started per second; 0: none.
    pub max_cps: f64,
    /// Until when, Unix ms.
    pub until: Millis,
}

impl Gate {
    /// As it stands in the fleet's hash.
    pub(in crate::store) fn parse(kind: GateKind, text: &str) -> Option<Self> {
        let (max_cps, until) = text.split_once(' ')?;
        Some(Self { kind, max_cps: max_cps.parse().ok()?, until: until.parse().ok()? })
    }
}

/// Something that befell the fleet: a breaker, a quarantine, a throttle, a brake.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FleetEvent {
    /// Its place in the stream; ask for what came after it.
    pub id: String,
    /// `breaker_open`, `breaker_half_open`, `breaker_closed`, `quarantine`, `quarantine_probe`, `quarantine_over`,
    /// `throttle` or `brake`.
    pub kind: String,
    /// What it concerns: `carrier`, `destination:<prefix>`, `caller:<key>`; a caller's key; the throttled share of the
    /// rate; abandoned and live answers.
    pub key: String,
    /// Until when, Unix ms; 0: nobody knows, or it is over.
    pub until: Millis,
    /// The campaign it concerns; `None`: all.
    #[schema(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// When, Unix ms.
    pub at: Millis,
}

impl Store {
    /// Slows all dials down until the gate ends.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn set_gate(&self, gate: Gate) -> Result<(), StoreError> {
        // What is no rate holds all dials: the side on which nothing goes wrong.
        let cps = if gate.max_cps.is_nan() { 0.0 } else { gate.max_cps.clamp(0.0, 1e9) };
        let text = format!("{cps} {}", gate.until);
        let _: Value = self.client().hset(fleet_key(), (gate.kind.field(), text)).await?;
        Ok(())
    }

    /// Campaigns that the abandonment brake stopped and nobody resumed, for whoever pauses them properly.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn braked(&self) -> Result<Vec<CampaignId>, StoreError> {
        let all: Vec<String> = self.client().smembers(braked_key()).await?;
        Ok(all.iter().filter_map(|id| CampaignId::parse(id)).collect())
    }

    /// The brake was seen to: the campaign is paused, and [`Store::braked`] need not name it again. It stays stopped.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn note_brake(&self, campaign: &CampaignId) -> Result<(), StoreError> {
        let _: Value = self.client().srem(braked_key(), campaign.as_str()).await?;
        Ok(())
    }

    /// Lets a campaign go on that the brake stopped; its state must be written besides. The counts of its thirty days
    /// stay: while they are over the limit, the next abandoned call stops it again.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn reset_brake(&self, campaign: &CampaignId) -> Result<(), StoreError> {
        let _: Value = self.client().hdel(keys::pace(campaign), "brake").await?;
        self.note_brake(campaign).await
    }

    /// What befell the fleet after the event `after`, the oldest first, at most 256; with `None` the last 256.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn fleet_events(&self, after: Option<&str>) -> Result<Vec<FleetEvent>, StoreError> {
        type Row = (String, HashMap<String, String>);
        let rows: Vec<Row> = match after {
            Some(after) => {
                let from = format!("({after}");
                self.client().xrange_values(events_key(), from, "+", Some(256)).await?
            }
            None => {
                let mut rows: Vec<Row> =
                    self.client().xrevrange_values(events_key(), "+", "-", Some(256)).await?;
                rows.reverse();
                rows
            }
        };
        Ok(rows
            .into_iter()
            .map(|(id, fields)| {
                let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
                FleetEvent {
                    kind: text("kind"),
                    key: text("key"),
                    until: text("until").parse().unwrap_or(0),
                    campaign: CampaignId::parse(&text("campaign")),
                    at: text("at").parse().unwrap_or(0),
                    id,
                }
            })
            .collect())
    }
}
