//! Calls to numbers that are nobody's, as intake would have made them, and a store to put them into.

use std::collections::VecDeque;
use std::sync::Arc;

use carillon::base::clock::Clock;
use carillon::domain::call::{Body, Call};
use carillon::domain::campaign::{Campaign, State};
use carillon::domain::ids::{CallId, CampaignId, SHARDS, Shard};
use carillon::domain::phone::Phone;
use carillon::store::{RedisConfig, Store};
use secrecy::SecretBox;

/// `PHONE_HASH_KEY` of every bench.
pub(crate) const HASH_KEY: &str = "a key for rehearsals alone: 0123456789abcdef";

/// Area codes of states without hours of their own, so that a window of the whole day is open at any hour of the year.
const AREAS: [u32; 12] = [212, 303, 415, 404, 602, 314, 619, 615, 503, 704, 808, 317];

/// The n-th number, E.164: valid in every respect, and with a consumer's last two digits (00 to 39: in the simulated
/// world somebody who answers and talks).
pub(crate) fn number(n: u64) -> String {
    let (area, rest) = (AREAS[(n % 12) as usize], n / 12);
    let (ending, rest) = (rest % 40, rest / 40);
    let (pair, exchange) = (rest % 100, 200 + rest / 100 % 700);
    // The exchanges 211, 311 … 911 and 555 are no consumer's.
    let exchange = if exchange % 100 == 11 || exchange == 555 { exchange + 1 } else { exchange };
    format!("+1{area}{exchange:03}{pair:02}{ending:02}")
}

/// How many different numbers [`number`] knows.
pub(crate) const NUMBERS: u64 = 12 * 40 * 100 * 600;

/// A store on `url`.
pub(crate) async fn store(url: &str) -> Store {
    let config = RedisConfig {
        url: url.to_owned(),
        phone_hash_key: Arc::new(SecretBox::new(Box::new(HASH_KEY.as_bytes().to_vec()))),
        default_webhook_url: Some("http://127.0.0.1:9/hook".into()),
        frequency_cap: 3,
        allow_eviction: false,
        wait_replicas: 0,
    };
    Store::connect(config, Clock::System).await.expect("the Redis that was just started")
}

/// A running campaign, written.
pub(crate) async fn campaign(store: &Store) -> CampaignId {
    let id = CampaignId::random();
    put_campaign(store, &id).await;
    id
}

/// Writes a running campaign of this id.
pub(crate) async fn put_campaign(store: &Store, id: &CampaignId) {
    let campaign = Campaign { state: State::Running, ..Campaign::new(id.clone(), Clock::System.now()) };
    store.put_campaign(&campaign).await.expect("Redis answers");
}

/// Makes up calls, each to a number of its own.
pub(crate) struct Maker {
    next: u64,
    by_shard: Vec<VecDeque<String>>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::after(0)
    }

    /// With numbers that come after the `n`-th.
    pub(crate) fn after(n: u64) -> Self {
        Self { next: n, by_shard: vec![VecDeque::new(); usize::from(SHARDS)] }
    }

    /// A call to `e164`, not handed in.
    pub(crate) fn call(store: &Store, e164: &str, campaign: Option<&CampaignId>) -> Call {
        let phone = Phone::from_e164(e164).expect("a number");
        let (hash, id) = (store.hash(e164), CallId::new(Shard::of(e164)));
        Call::new(id, hash, campaign.cloned(), Body::new(phone, Clock::System.now()))
    }

    /// A call to the next number, wherever it lies.
    pub(crate) fn next(&mut self, store: &Store, campaign: Option<&CampaignId>) -> Call {
        self.next += 1;
        Self::call(store, &number(self.next % NUMBERS), campaign)
    }

    /// Calls to different numbers of one shard.
    pub(crate) fn of_shard(
        &mut self,
        store: &Store,
        shard: Shard,
        count: usize,
        campaign: Option<&CampaignId>,
    ) -> Vec<Call> {
        let at = usize::from(shard.0);
        while self.by_shard[at].len() < count {
            self.next += 1;
            let e164 = number(self.next % NUMBERS);
            let its = usize::from(Shard::of(&e164).0);
            self.by_shard[its].push_back(e164);
        }
        self.by_shard[at].drain(..count).map(|e164| Self::call(store, &e164, campaign)).collect()
    }
}
