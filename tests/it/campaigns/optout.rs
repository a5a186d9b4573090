//! "Take me off your list", said in one call while the number waits in two other campaigns: neither rings.

use carillon::sim::SimConfig;
use carillon::sim::people::{Kind, Role};
use serde_json::json;

use super::{SOON, add, command, create, in_order, in_state, plays};
use crate::support::fleet::{Fleet, FleetConfig, seed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opt_out_in_one_campaign_reaches_the_others() {
    let sim = SimConfig { seed: seed(), speed: 10.0, max_cps: 20.0, ..SimConfig::default() };
    let mut fleet = Fleet::start(FleetConfig { workers: 2, sim, ..FleetConfig::default() }).await;
    let number = fleet.sim.world().number(Kind::OptsOut, 0);
    let role = Role { line: Some("Take me off your list.".into()), after_s: Some(8.0), ..Role::default() };
    plays(&fleet, &number, role);
    let mut campaigns = Vec::new();
    for name in ["first", "second", "third"] {
        let id = create(&fleet, json!({ "name": name })).await;
        add(&fleet, &id, std::slice::from_ref(&number)).await;
        campaigns.push(id);
    }
    command(&fleet, &campaigns[0], "start").await;
    let rings = fleet.sim.ledger().until(|book| book.legs.first().and_then(|leg| leg.rang_at));
    tokio::time::timeout(SOON, rings).await.expect("the first campaign's call rings");
    // From here on they wait for the person's line, which the first campaign's call holds.
    command(&fleet, &campaigns[1], "start").await;
    command(&fleet, &campaigns[2], "start").await;

    println!(
        "\n== an opt-out said in one call, while the number waits in two other campaigns (seed {}) ==",
        seed()
    );
    for (i, id) in campaigns.iter().enumerate() {
        let end = fleet.ended(id, 1, SOON).await.remove(0);
        println!(
            "{:<8} {:<12} after {} attempts",
            ["first", "second", "third"][i],
            end.disposition,
            end.attempts
        );
        assert_eq!(end.disposition, if i == 0 { "opted_out" } else { "suppressed" });
        in_state(&fleet, id, "completed", SOON).await;
    }
    let legs = fleet.sim.ledger().with(|book| book.legs.len());
    assert_eq!(legs, 1, "it rang once");
    let said = fleet.sim.ledger().with(|book| {
        book.legs[0].heard.iter().any(|heard| heard.text.contains("Take me off your list")).then_some(())
    });
    assert!(said.is_some(), "the words were said");
    let (code, answer) =
        super::send(&fleet, "POST", "/api/calls/initiate", &json!({ "phone_number": number })).await;
    assert_eq!(code, 422, "the number stays forbidden: {answer}");
    in_order(&mut fleet).await;
}
