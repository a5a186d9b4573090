//! A node: its parts put together by role, served, and drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api, ApiConfig, ApiKeys, ArchiveHooks, Ops};
use crate::app::config::{Config, Role};
use crate::app::health;
use crate::app::keeper::Keeper;
use crate::app::lifecycle::Lifecycle;
use crate::app::parts::{DEFAULT_AGENT, Parts};
use crate::app::serve::Bound;
use crate::app::worker::Worker;
use crate::base::clock::SECOND;
use crate::outbox::deliver::Deliverer;
use crate::outbox::pump::{Pump, PumpConfig};
use crate::store::{Node as Heartbeat, Store};
use crate::transport;
use crate::wrapup::chain::Sealer;
use crate::wrapup::{self, WrapUp};

/// A running node.
pub struct Node {
    /// Where it serves.
    pub addr: SocketAddr,
    /// Its Redis.
    pub store: Store,
}

/// How often a node tells that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

impl Node {
    /// Starts a node on a bound socket; it ends with `life`.
    ///
    /// # Errors
    /// Where a setting cannot be used, or Redis is away or must not be used as it is.
    pub async fn start(config: Config, bound: Bound, life: &Lifecycle) -> anyhow::Result<Self> {
        let role = config.node.role;
        let concurrency = config.node.worker_concurrency;
        let webhook = config.webhook.clone();
        let parts = Parts::assemble(config).await?;
        // Before anything is claimed by a clock that is wrong.
        compare_clocks(&parts).await;
        let draining = Arc::new(AtomicBool::new(false));
        let ops = Ops {
            store: parts.store.clone(),
            metrics: parts.metrics.clone(),
            health: health::report(&parts, word(role)),
            draining: Arc::clone(&draining),
        };

        let mut router = Router::new();
        if role == Role::Worker {
            router = router.merge(api::ops_router(ops));
        } else {
            let transport = parts.transport();
            let turns = transport.tasks.clone();
            let close = life.close.clone();
            // Turns outlive the request that began them; they too are finished before the node ends.
            life.doors.spawn(async move {
                close.cancelled().await;
                turns.close();
                turns.wait().await;
            });
            router = router.merge(transport::router(transport)).merge(api::router(api_of(&parts, ops)));
        }
        if role != Role::Api {
            let worker = Worker {
                dialer: parts.dialer(),
                wrapup: wrapup_of(&parts),
                metrics: parts.metrics.clone(),
                lease: parts.claim_lease(),
                sweep_every: parts.sweep_every(),
                concurrency,
            };
            life.tasks.spawn(keeper_of(&parts).run(life.drain.clone()));
            let (drain, give_up) = (life.drain.clone(), life.give_up.clone());
            let worked = CancellationToken::new();
            // The steps under way leave evidence, too: it is sealed once they are over.
            life.tasks.spawn(sealer_of(&parts).run(worked.clone()));
            life.tasks.spawn(async move {
                let _over = worked.drop_guard();
                worker.run(drain, give_up).await;
            });
            let pump = Pump::new(
                parts.store.clone(),
                Deliverer::new(webhook.deliver())?,
                PumpConfig {
                    max_retries: webhook.max_retries,
                    batch_size: webhook.batch_size,
                    process_interval: webhook.process_interval,
                    timeout: webhook.timeout,
                    ..PumpConfig::default()
                },
                parts.metrics.clone(),
                parts.clock.clone(),
                life.drain.clone(),
            )
            .giving_up(life.give_up.clone());
            life.tasks.spawn(async move { pump.run().await });
        }

        let store = parts.store.clone();
        life.tasks.spawn(parts.gates(role != Role::Api).run(life.drain.clone()));
        // At once, whatever else is slow: a balancer that asks now must send no more.
        let drain = life.drain.clone();
        life.tasks.spawn(async move {
            drain.cancelled().await;
            draining.store(true, Ordering::Relaxed);
        });
        life.tasks.spawn(tell(parts, role, life.drain.clone()));
        let addr = bound.addr;
        let close = life.close.clone();
        life.doors.spawn(async move {
            if let Err(error) = bound.serve(router, close).await {
                tracing::error!(%error, "the HTTP server ended");
            }
        });
        tracing::info!(%addr, role = word(role), version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(Self { addr, store })
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Api => "api",
        Role::Worker => "worker",
        Role::All => "all",
        Role::Check => "check",
    }
}

/// Compares this node's clock with Redis' and says where they come apart, or agree again.
async fn compare_clocks(parts: &Parts) {
    let agreed = parts.store.clocks_agree();
    // Where Redis does not answer nothing goes anyway.
    let Ok(ahead_ms) = parts.store.compare_clocks().await else { return };
    parts.metrics.clock_ahead.set(ahead_ms);
    match (agreed, parts.store.clocks_agree()) {
        (true, false) => tracing::error!(
            ahead_ms,
            "this node's clock and Redis' do not agree: it takes up no work, neither dials nor webhooks, until they do"
        ),
        (false, true) => tracing::info!(ahead_ms, "this node's clock and Redis' agree again; work goes on"),
        _ => {}
    }
}

/// Tells that the node lives, and keeps the gauges that are read from Redis.
async fn tell(parts: Parts, role: Role, drain: CancellationToken) {
    let clock = &parts.clock;
    let node = Heartbeat {
        id: format!("{}-{:08x}", word(role), rand::random::<u32>()),
        role: word(role).to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: clock.now(),
        seen_at: 0,
    };
    while !drain.is_cancelled() {
        if let Err(error) = parts.store.heartbeat(&node, 20 * SECOND).await {
            tracing::warn!(%error, "the node could not tell that it lives");
        }
        compare_clocks(&parts).await;
        if let Ok(held) = parts.store.slots_held().await {
            parts.metrics.active_call_sessions.set(i64::try_from(held).unwrap_or(i64::MAX));
        }
        for (script, runs, errors) in parts.store.script_runs() {
            for (counters, now) in [(&parts.metrics.redis_ops, runs), (&parts.metrics.redis_errors, errors)] {
                let counter = counters.with_label_values(&[script]);
                counter.inc_by(now.saturating_sub(counter.get()));
            }
        }
        tokio::select! {
            () = drain.cancelled() => {}
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
    }
    let _ = parts.store.goodbye(&node.id).await;
}

fn api_of(parts: &Parts, ops: Ops) -> Api {
    let config = &parts.config;
    let agents = Arc::clone(&parts.agents);
    let known = agents.names().into_iter().filter_map(|name| agents.get(&name));
    let outcome_events = known.map(|agent| agent.definition.outcome_event.clone()).collect();
    let effects = parts.effects.clone();
    let [for_status, for_person, for_delete] = [&parts.archive; 3].map(Clone::clone);
    Api {
        ops,
        config: ApiConfig {
            keys: ApiKeys::from_plain(config.api.keys.iter().map(|key| key.expose_secret())),
            default_region: config.calling.default_region.clone(),
            rate_per_second: config.api.rate_limit,
            allow_private_webhooks: config.webhook.allow_private,
            base_url: config.api.base_url.clone(),
            window: config.calling.window,
            calling_rules: Arc::clone(&config.calling.rules),
            lead: config.calling.ring_timeout + Duration::from_secs(5),
            max_cps: config.twilio.max_cps,
            max_concurrent: config.twilio.max_concurrent,
            caller_ids: config.twilio.caller_ids.iter().map(|p| p.e164().to_owned()).collect(),
            ..ApiConfig::default()
        },
        clock: parts.clock.clone(),
        rules: (*parts.rules).clone(),
        agents: Arc::new(move |name| agents.get(name).is_some()),
        outcome_events,
        perform: Arc::new(move |call, left| {
            let effects = effects.clone();
            async move { effects.perform(&call, left).await }.boxed()
        }),
        archive: Some(ArchiveHooks {
            status: Arc::new(move |id| {
                let archive = for_status.clone();
                async move { Ok(wrapup::archived_status(&archive, &id).await?) }.boxed()
            }),
            of_person: Arc::new(move |person| {
                let archive = for_person.clone();
                async move { Ok(wrapup::archived_calls(&archive, &person).await?) }.boxed()
            }),
            delete: Arc::new(move |artefacts| {
                let archive = for_delete.clone();
                async move {
                    for artefact in artefacts {
                        archive.delete(&artefact.key).await?;
                    }
                    Ok(())
                }
                .boxed()
            }),
        }),
    }
}

fn keeper_of(parts: &Parts) -> Keeper {
    let effects = parts.effects.clone();
    Keeper {
        store: parts.store.clone(),
        perform: Arc::new(move |call, left| {
            let effects = effects.clone();
            async move { effects.perform(&call, left).await }.boxed()
        }),
        rules: Arc::clone(&parts.rules),
        clock: parts.clock.clone(),
        name: format!("{:032x}", rand::random::<u128>()),
    }
}

fn sealer_of(parts: &Parts) -> Sealer {
    Sealer {
        store: parts.store.clone(),
        archive: parts.archive.clone(),
        metrics: parts.metrics.clone(),
        clock: parts.clock.clone(),
        after: parts.seal_after(),
        lease: parts.claim_lease(),
    }
}

fn wrapup_of(parts: &Parts) -> WrapUp {
    let agents = Arc::clone(&parts.agents);
    let effects = parts.effects.clone();
    WrapUp {
        store: parts.store.clone(),
        archive: parts.archive.clone(),
        twilio: parts.twilio.clone(),
        model: parts.patient_model.clone(),
        agents: Arc::new(move |name| agents.get(name.unwrap_or(DEFAULT_AGENT))),
        perform: Arc::new(move |call, left| {
            let effects = effects.clone();
            async move { effects.perform(&call, left).await }.boxed()
        }),
        rules: Arc::clone(&parts.rules),
        // With the archive's own time-outs it stays below the claim's lease.
        extract_timeout: Duration::from_millis(parts.claim_lease() / 3),
        metrics: parts.metrics.clone(),
        clock: parts.clock.clone(),
    }
}
