//! Admission: claim, permit and start of due calls with every check of a campaign, by the library's own dialing engine in
//! a process of its own; what it starts is not dialed. And the drain: the real worker, 100,000 calls due at one moment,
//! a carrier that takes each.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carillon::base::clock::Clock;
use carillon::base::telemetry::Metrics;
use carillon::carrier::twilio::urls::Urls;
use carillon::carrier::twilio::{Twilio, TwilioConfig};
use carillon::dialing::{CallerLimits, Callers, DialConfig, Dialer, Effects, Hopper};
use carillon::domain::call::Rules;
use carillon::domain::campaign::{Campaign, Consent, ConsentBasis, Dedupe, State};
use carillon::domain::ids::{CampaignId, SHARDS, Shard};
use carillon::domain::phone::Phone;
use carillon::domain::window;
use carillon::store::{Account, PacingTuning, Store, Wants};
use futures::{StreamExt as _, stream};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::floor;
use super::live::Carrier;
use super::machine;
use super::report::Row;
use super::stage::{ACCOUNT, CALLERS, Outside, RedisFloor, Stage, TOKEN};
use super::wire::{Conn, Post};
use crate::kit::calls::{self, Maker, number};

/// Calls that a round brings at most, as the worker's.
const MOST: usize = 1_000;
const WIDTH: usize = 16;

/// Every limit that a campaign may have, none of which binds.
fn campaign(id: &CampaignId) -> Campaign {
    Campaign {
        state: State::Running,
        weight: 3,
        max_cps: Some(9_999.0),
        max_concurrent: Some(900_000),
        caller_ids: CALLERS.map(str::to_owned).to_vec(),
        window: Some("00:00-24:00".into()),
        require_consent: Some(ConsentBasis::Express),
        expires_at: Some(Clock::System.now() + 86_400_000),
        ..Campaign::new(id.clone(), Clock::System.now())
    }
}

async fn waiting(store: &Store, id: &CampaignId, count: u64) {
    store.put_campaign(&campaign(id)).await.expect("Redis answers");
    let mut maker = Maker::new();
    let now = Clock::System.now();
    let mut left = count;
    while left > 0 {
        let n = left.min(2_000);
        let calls: Vec<_> = (0..n)
            .map(|_| {
                let mut call = maker.next(store, Some(id));
                call.body.consent =
                    Some(Consent { basis: ConsentBasis::Written, at: now - 1_000, source: "form 7".into() });
                call
            })
            .collect();
        store.submit_list(&calls, Dedupe::Campaign, now).await.expect("Redis answers");
        left -= n;
    }
}

/// The part `admit`: starts so many calls of the Redis it is told, and tells what that took.
pub(crate) async fn part(of: &str) {
    let (url, wanted) = of.split_once(' ').expect("a URL and a count");
    let wanted: usize = wanted.parse().expect("a count");
    let dialer = dialer(calls::store(url).await);
    let (stop, mut hopper, mut started) = (CancellationToken::new(), Hopper::new(0), 0);
    // What waits is known once every shard was looked at, as in a worker that has been up for a while.
    look(&dialer, &mut hopper, None).await;
    // The first permit brings a plan; it is no part of what is measured.
    let _ = dialer.admit(Vec::new(), &mut hopper, true, MOST, &stop, drop).await;
    println!("ready");
    let (before, began) = (machine::cpu_us(std::process::id()), Instant::now());
    let (mut rounds, scripts) = (0, runs(&dialer.store));
    while started < wanted {
        rounds += 1;
        assert!(began.elapsed() < Duration::from_secs(120), "{started} of {wanted} started");
        let claimed = look(&dialer, &mut hopper, Some(MOST.min(wanted - started))).await;
        let admitted = dialer
            .admit(claimed, &mut hopper, true, MOST.min(wanted - started), &stop, |_| started += 1)
            .await
            .expect("Redis answers");
        if admitted.wait > 0 {
            tokio::time::sleep(Duration::from_millis(admitted.wait.min(100))).await;
        }
    }
    let used = machine::cpu_us(std::process::id()) - before;
    let scripts = runs(&dialer.store) - scripts;
    println!("took {used} {started} {scripts} {rounds} {}", began.elapsed().as_secs_f64());
    std::future::pending::<()>().await;
}

fn runs(store: &Store) -> u64 {
    store.script_runs().iter().map(|(_, runs, _)| runs).sum()
}

/// Claims as the plan says, or looks at every shard once.
async fn look(dialer: &Dialer, hopper: &mut Hopper, most: Option<usize>) -> Vec<carillon::store::Claimed> {
    let asked: Vec<(Shard, Wants)> = match most {
        None => (0..SHARDS).map(|i| (Shard(i), Wants::default())).collect(),
        Some(most) => {
            let wants = hopper.wants(most).into_iter();
            wants.map(|(i, campaigns)| (Shard(i), Wants { live: 64, urgent: 0, campaigns })).collect()
        }
    };
    let claims: Vec<_> = stream::iter(asked)
        .map(|(shard, wants)| async move { (shard, dialer.store.claim(shard, 45_000, &wants).await) })
        .buffer_unordered(WIDTH)
        .collect()
        .await;
    let mut out = Vec::new();
    for (shard, claims) in claims {
        let claims = claims.expect("Redis answers");
        hopper.saw(shard, &claims);
        out.extend(claims.calls);
    }
    out
}

/// The engine as a node makes it.
fn dialer(store: Store) -> Dialer {
    let phones: Vec<Phone> = CALLERS.iter().filter_map(|e164| Phone::from_e164(e164)).collect();
    let urls = Urls::new("https://dial.example.com").expect("a URL");
    let twilio = Twilio::new(TwilioConfig {
        account_sid: ACCOUNT.into(),
        auth_token: SecretString::from(TOKEN),
        base_url: "http://127.0.0.1:9".into(),
        timeout: Duration::from_secs(8),
        connect_timeout: Duration::from_secs(3),
    })
    .expect("a client");
    let rules = Arc::new(Rules::default());
    let law = Arc::new(window::Rules::builtin().clone());
    let hash = store.clone();
    let callers = Callers::new(&phones, CallerLimits::default(), Arc::clone(&law), |e164| hash.hash(e164));
    let config = DialConfig {
        from: CALLERS[0].into(),
        callers: Arc::new(callers),
        account: Account { max_cps: 10_000.0, max_concurrent: 1_000_000, tuning: PacingTuning::default() },
        window: "00:00-24:00".parse().expect("a window"),
        calling_rules: law,
        ring_timeout_s: 30,
        time_limit_s: 900,
        detect_machines: true,
        record_from_answer: false,
        leg_wait: 20_000,
        use_by: Duration::from_millis(75),
        slot_grace: 60_000,
        hold: Duration::from_secs(10),
    };
    let effects = Effects {
        store: store.clone(),
        twilio: twilio.clone(),
        urls: urls.clone(),
        rules: Arc::clone(&rules),
    };
    Dialer {
        store,
        twilio,
        urls,
        rules,
        config: Arc::new(config),
        effects,
        senses: Arc::default(),
        holds: Arc::default(),
        moments: Arc::default(),
        unsent: Arc::default(),
        metrics: Metrics::new(),
        clock: Clock::System,
    }
}

/// What the part told: CPU in µs, calls started, scripts, rounds, seconds.
async fn admitted(stage: &Stage, count: u64) -> Vec<f64> {
    let mut part = floor::part("admit", &format!("{} {count}", stage.url()));
    let took = part.line("its figures", Duration::from_secs(150), |line| {
        line.strip_prefix("took ")?
            .split(' ')
            .map(|word| word.parse::<f64>().ok())
            .collect::<Option<Vec<f64>>>()
    });
    took.await
}

/// Admission for each 10,000 calls.
pub(crate) async fn admission(bench: &mut Bench) {
    let sample = 2_000;
    let stage = Stage::start(true, Outside::default()).await;
    let id = CampaignId::random();
    waiting(&stage.store, &id, 2 * sample).await;
    let look = stage.look().await;
    let recorded = admitted(&stage, sample).await;
    let recording = stage.recording(&look);
    let redis: RedisFloor = stage.replayed(recording).await;

    let count = bench.options.count(10_000, 40_000);
    let stage = Stage::start(false, Outside::default()).await;
    waiting(&stage.store, &id, count + 10_000).await;
    let look = stage.look().await;
    let took = admitted(&stage, count).await;
    let used = stage.used(&look).await;
    let started = took.get(1).copied().unwrap_or(1.0);
    // The part tells its own CPU; the stage has no node here.
    let cpu_us = took.first().copied().unwrap_or(0.0) + used.redis.cpu_us;
    let scripts = took.get(2).copied().unwrap_or(0.0);
    let note = format!(
        "engine {:.1} + Redis {:.1} µs a call; {:.0} calls a round; {:.0}/s; idle {:.0} %; bare: {}",
        took.first().copied().unwrap_or(0.0) / started,
        used.redis.cpu_us / started,
        started / took.get(3).copied().unwrap_or(1.0),
        started / took.get(4).copied().unwrap_or(1.0),
        used.idle * 100.0,
        redis.names
    );
    let floor = redis.with(recorded.get(1).copied().unwrap_or(1.0), bench.http, 0.0, 0.0);
    let row = Row::new("admit + claim + DialStarted, 10,000 calls", "CPU-s", cpu_us / started / 100.0);
    bench.report.row(row.target(0.25).floor(floor.map(|us| us / 100.0)).note(note));
    let row = Row::new("admission: Redis round trips", "a call", scripts / started);
    bench.report.row(row.target(0.1));
}

/// 100,000 calls due at the same instant, dialed by the real worker.
pub(crate) async fn drain(bench: &mut Bench) {
    let count = bench.options.count(5_000, 100_000);
    let carrier = Carrier::default();
    let outside = Outside { carrier: carrier.serve().await, ..Outside::default() };
    let mut stage = Stage::start(false, outside).await;
    stage.node("api").await;
    let at = Clock::System.now() + if count > 20_000 { 15_000 } else { 5_000 };
    let mut body = format!(r#"{{"schedule_at":"{}","phone_numbers":["#, carillon::base::clock::rfc3339(at));
    for n in 0..count {
        // Writing to a String does not fail.
        let _ = write!(body, r#"{}"{}""#, if n == 0 { "" } else { "," }, number(n));
    }
    body.push_str("]}");
    let answer = Conn::to(stage.api()).post(Post::json("/api/calls/initiate", body)).await;
    let (status, answer) = answer.unwrap_or_default();
    if status != 202 {
        let head = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
        bench.report.breaks("drain", vec![format!("the list is answered {status}: {head}")]);
        return;
    }
    stage.node("worker").await;
    let wait = at.saturating_sub(Clock::System.now());
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let look = stage.look().await;
    let (began, within) = (Instant::now(), Duration::from_secs(60 + count / 200));
    let (mut last, mut at_last, mut gap, mut first) = (0, Instant::now(), Duration::ZERO, Duration::ZERO);
    let mut every = tokio::time::interval(Duration::from_millis(5));
    while last < count && began.elapsed() < within {
        every.tick().await;
        let now = carrier.creates();
        if now > last {
            if last == 0 {
                first = began.elapsed();
            } else {
                gap = gap.max(at_last.elapsed());
            }
            (last, at_last) = (now, Instant::now());
        }
    }
    let used = stage.used(&look).await;
    let done = last as f64;
    let mut broken = Vec::new();
    if last < count {
        broken.push(format!("{last} of {count} dialed within {within:?}"));
    }
    if carrier.twice() > 0 {
        broken.push(format!("C1: {} numbers were called twice", carrier.twice()));
    }
    bench.report.breaks("drain", broken);
    let hwm = stage.nodes.iter().map(|n| machine::memory(n.process.pid(), "VmHWM")).max().unwrap_or(0);
    let note = format!(
        "{}; {last} in {:.1} s, first after {:.0} ms; nodes at most {:.0} MB",
        used.words(done),
        used.wall_s,
        first.as_secs_f64() * 1e3,
        hwm as f64 / 1e6
    );
    let row = Row::new("due at one instant: dialed", "calls/s", done / used.wall_s);
    bench.report.row(row.note(note));
    let row = Row::new("due at one instant: a call, dial included", "µs CPU", used.cpu_us() / done);
    bench.report.row(row.note("one POST to the carrier and its commit are in it"));
    let row = Row::new("due at one instant: longest pause", "ms", gap.as_secs_f64() * 1e3);
    bench.report.row(row);
}
