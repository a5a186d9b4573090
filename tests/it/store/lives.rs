//! A campaign's life: changed by many at once, hastened to its end, counted, told.

use std::time::Duration;

use carillon::base::clock::{Clock, DAY};
use carillon::domain::call::Event;
use carillon::domain::campaign::{Campaign, Command, Refusal, State};
use carillon::domain::ids::{CampaignId, Shard};
use carillon::store::{Changed, Pulse};

use super::{Bed, leg};
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(20);

async fn made(bed: &Bed) -> CampaignId {
    let it = Campaign::new(CampaignId::random(), Clock::System.now());
    assert!(bed.store.create_campaign(&it).await.expect("written").is_none());
    it.id
}

async fn step(bed: &Bed, id: &CampaignId, command: Command) -> Changed<Refusal> {
    let now = Clock::System.now();
    let changed = bed.store.change_campaign(id, |it| it.command(command, "api:test", None, now)).await;
    changed.expect("redis answers")
}

pub(super) async fn nobody_overwrites_what_another_wrote(bed: &Bed) {
    let id = made(bed).await;
    let again = Campaign { name: Some("another".into()), ..Campaign::new(id.clone(), 1) };
    let first = bed.store.create_campaign(&again).await.expect("read").expect("it is there");
    assert_eq!((first.name, first.version), (None, 1));
    // Twenty at once: each change is made to what the one before left.
    let raise = |_| {
        bed.store.change_campaign(&id, |it| -> Result<bool, ()> {
            it.weight += 1;
            Ok(true)
        })
    };
    for changed in futures::future::join_all((0..20).map(raise)).await {
        assert!(matches!(changed, Ok(Changed::Done(_))), "{changed:?}");
    }
    let it = bed.store.campaign_fresh(&id).await.expect("read").expect("there");
    assert_eq!((it.weight, it.version), (21, 21));
    assert!(matches!(step(bed, &id, Command::Start).await, Changed::Done(_)));
    assert!(matches!(step(bed, &id, Command::Start).await, Changed::Same(_)));
    assert!(matches!(step(bed, &id, Command::Refill).await, Changed::Same(_)));
    assert!(matches!(
        step(bed, &id, Command::Finish).await,
        Changed::Refused(Refusal { state: State::Running })
    ));
    let unknown = CampaignId::random();
    assert!(matches!(step(bed, &unknown, Command::Start).await, Changed::Unknown));
    // What pacing counts beside it stays, and pacing sees the step.
    let pace = format!("PACE:{{cap}}:{id}");
    bed.redis.cmd(&["HSET", &pace, "legs", "7", "brake", "4/100"]).await;
    assert!(matches!(step(bed, &id, Command::Pause).await, Changed::Done(_)));
    let field = async |name: &str| bed.redis.cmd(&["HGET", &pace, name]).await.text().unwrap_or_default();
    assert_eq!((field("state").await, field("brake").await), ("hold".into(), "4/100".into()));
    assert!(matches!(step(bed, &id, Command::Resume).await, Changed::Done(_)));
    let fields = (field("state").await, field("legs").await, field("brake").await);
    assert_eq!(fields, ("run".into(), "7".into(), String::new()));
}

pub(super) async fn who_watches_is_told_each_step(bed: &Bed) {
    let id = made(bed).await;
    let first = bed.store.newest_event(&id).await.expect("read");
    for command in [Command::Start, Command::Pause, Command::Resume, Command::Cancel, Command::Finish] {
        assert!(matches!(step(bed, &id, command).await, Changed::Done(_)), "{command:?}");
    }
    // Two streams are one by time: what follows is a millisecond later.
    let own = format!("CAMPAIGN_EVENTS:{{cap}}:{id}");
    let last = bed.redis.cmd(&["XREVRANGE", &own, "+", "-", "COUNT", "1"]).await;
    let last = format!("{last:?}");
    until("the next millisecond", SOON, || async {
        let time = bed.redis.cmd(&["TIME"]).await.texts();
        let ms = format!("{}{:03}", time[0], time[1].parse::<u64>().expect("µs") / 1_000);
        (!last.contains(&ms)).then_some(())
    })
    .await;
    bed.redis
        .cmd(&["XADD", "FLEET_EVENTS:{cap}", "*", "kind", "breaker_open", "key", "destination:+1212"])
        .await;
    let other = CampaignId::random();
    let its = other.as_str();
    bed.redis.cmd(&["XADD", "FLEET_EVENTS:{cap}", "*", "kind", "brake", "campaign", its]).await;
    let told = bed.store.campaign_events(&id, &first).await.expect("read");
    let words: Vec<&str> =
        told.iter().filter_map(|e| e.data["state"].as_str().or_else(|| e.data["kind"].as_str())).collect();
    assert_eq!(words, ["running", "paused", "running", "draining", "cancelled", "breaker_open"]);
    assert!(told.last().is_some_and(|e| e.fleet) && !told[0].fleet);
    let rest = bed.store.campaign_events(&id, &told[3].id).await.expect("read");
    assert_eq!(rest, told[4..]);
    let ttl = bed.redis.cmd(&["PTTL", &format!("CAMPAIGN_EVENTS:{{cap}}:{id}")]).await;
    assert!(ttl.int() > 0, "what is over is forgotten one day");
    bed.redis.cmd(&["DEL", "FLEET_EVENTS:{cap}"]).await;
}

pub(super) async fn what_waits_for_later_is_hastened(bed: &Bed) {
    let (id, other, shard) = (made(bed).await, made(bed).await, Shard(7));
    let later = Clock::System.now() + DAY;
    let (mut its, mut others) = (bed.calls_in(shard, 100, Some(&id)), bed.calls_in(shard, 110, Some(&other)));
    let others = others.split_off(100);
    for (n, call) in its.iter_mut().enumerate() {
        call.head.due = later;
        call.body.schedule_at = Some(later);
        call.body.priority = match n % 3 {
            0 => carillon::domain::campaign::Priority::High,
            1 => carillon::domain::campaign::Priority::Normal,
            _ => carillon::domain::campaign::Priority::Low,
        };
    }
    let others: Vec<_> = others
        .into_iter()
        .map(|mut call| {
            call.head.due = later;
            call.body.schedule_at = Some(later);
            call
        })
        .collect();
    let now = Clock::System.now();
    bed.store.submit(&its, now).await.expect("in");
    bed.store.submit(&others, now).await.expect("in");
    let mut live = bed.calls_in(shard, 120, Some(&id)).split_off(110);
    let live = bed.claimed(&live.remove(0)).await;
    let live = bed.started(&live).await;
    let ringing = bed.done_by(&live, Event::Rang(leg(&live))).await;

    let (moved, found) = bed.store.hasten(&id, shard).await.expect("hastened");
    assert_eq!((moved, found), (100, vec![ringing.id.clone()]));
    let (again, _) = bed.store.hasten(&id, shard).await.expect("hastened");
    assert_eq!(again, 0, "what is due already is left as it is");
    let due = bed.redis.cmd(&["ZCOUNT", "DUE:{s07}", "-inf", &Clock::System.now().to_string()]).await;
    assert_eq!(due.int(), 100);
    let canceled = bed.done_by(&ringing, Event::Cancel).await;
    assert_eq!(bed.store.hasten(&id, shard).await.expect("hastened").1, vec![], "its end is on the way");
    assert_eq!(bed.store.hasten(&id, Shard(8)).await.expect("hastened"), (0, vec![]));

    let counts = bed.store.campaign_counts(&id).await.expect("counted");
    assert_eq!((counts.accepted(), counts.open(), counts.under_way(), counts.waiting()), (101, 101, 1, 100));
    assert!(canceled.body.cancel_requested);
    bed.store.note_pulse(&id, Pulse { at: now, started: 1, ended: 0 }).await.expect("noted");
    bed.store.note_pulse(&id, Pulse { at: now + 1, started: 2, ended: 0 }).await.expect("noted");
    assert_eq!(bed.store.pulses(&id).await.expect("read").len(), 1, "not each moment");
}

pub(super) async fn one_keeper_at_a_time(bed: &Bed) {
    assert!(bed.store.keep_campaigns("one", 600_000).await.expect("redis answers"));
    assert!(!bed.store.keep_campaigns("two", 600_000).await.expect("redis answers"));
    assert!(bed.store.keep_campaigns("one", 600_000).await.expect("redis answers"));
    bed.redis.cmd(&["DEL", "KEEPER:{cap}"]).await;
    assert!(bed.store.keep_campaigns("two", 600_000).await.expect("redis answers"));
    let id = made(bed).await;
    let open = bed.store.open_campaigns().await.expect("read");
    assert!(open.iter().any(|it| it.id == id && it.life == "draft" && it.weight == 1));
    assert!(matches!(step(bed, &id, Command::Cancel).await, Changed::Done(_)));
    let open = bed.store.open_campaigns().await.expect("read");
    assert!(open.iter().any(|it| it.id == id && it.toward.as_deref() == Some("cancelled")));
    assert!(matches!(step(bed, &id, Command::Finish).await, Changed::Done(_)));
    assert!(bed.store.open_campaigns().await.expect("read").iter().all(|it| it.id != id));
}
