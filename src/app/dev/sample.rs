//! The sample list: every kind of person, posted as CSV as a client would.

use std::net::SocketAddr;

use anyhow::Context;

use crate::app::dev::json_of;
use crate::domain::ids::CampaignId;
use crate::sim::Sim;
use crate::sim::people::Kind;

/// A number and who answers it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) number: String,
    pub(super) kind: Kind,
}

/// `calls` numbers: each kind gets its share, the cooperative a double one.
pub(super) fn list(sim: &Sim, calls: u32) -> Vec<Entry> {
    let mut turns: Vec<Kind> = Kind::ALL.to_vec();
    turns.push(Kind::Cooperative);
    let kinds = u32::try_from(turns.len()).unwrap_or(1);
    let mut counts = std::collections::HashMap::new();
    (0..calls)
        .map(|i| {
            let kind = turns[(i % kinds) as usize];
            let nth = counts.entry(kind).or_insert(0_u32);
            let number = sim.world().number(kind, *nth);
            *nth += 1;
            Entry { number, kind }
        })
        .collect()
}

/// Posts the list.
pub(super) async fn post(api: SocketAddr, list: &[Entry]) -> anyhow::Result<CampaignId> {
    let mut csv = String::from("phone_number,caller\n");
    for entry in list {
        csv.push_str(&entry.number);
        csv.push_str(",Carillon Careers\n");
    }
    let response = reqwest::Client::new()
        .post(format!("http://{api}/api/calls/initiate"))
        .header("content-type", "text/csv")
        .body(csv)
        .send()
        .await?;
    let answer = json_of(response).await.context("the sample list was not accepted")?;
    println!(
        "posted {} numbers: {} accepted, {} rejected, {} duplicates\n",
        list.len(),
        answer["accepted"],
        answer["rejected"],
        answer["duplicates"]
    );
    let id = answer["campaign_id"].as_str().unwrap_or_default();
    anyhow::ensure!(
        answer["accepted"] == list.len(),
        "not every number of the sample list was accepted: {answer}"
    );
    CampaignId::parse(id).with_context(|| format!("{id:?} is no campaign id"))
}
