//! The connection: one server, Sentinel or Cluster, never on fred's defaults (they hang and re-send), and what must be
//! true of a server before this program trusts it with queued calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::config::UnresponsiveConfig;
use fred::types::{ClusterHash, CustomCommand, InfoKind};
use futures::future::join_all;
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};

use crate::base::clock::Clock;
use crate::domain::ids::{PhoneHash, SHARDS};
use crate::store::keys;

/// How soon a first connection that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// How long a starting node waits for Redis: longer than a failover takes, or a machine that starts all at once.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// What the store needs to know.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis[s]://`, `redis[s]-sentinel://` or `redis[s]-cluster://`, with `?max_connections=` for the pool.
    pub url: String,
    /// `PHONE_HASH_KEY`.
    pub phone_hash_key: Arc<SecretBox<Vec<u8>>>,
    /// Where notices go that name no other place.
    pub default_webhook_url: Option<String>,
    /// Most attempts to one number in the window: the frequency cap.
    pub frequency_cap: u32,
    /// Replicas that must have a dial before it leaves, and a call before it is accepted (`REDIS_WAIT_REPLICAS`); 0 = none.
    pub wait_replicas: u32,
    /// Accept a server that may evict keys? Never in production: an evicting Redis loses queued calls.
    pub allow_eviction: bool,
}

/// Why Redis did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, slow or said no.
    #[error("redis: {0}")]
    Redis(String),
    /// It must not be used as it is; says what to change.
    #[error("{0}")]
    Refused(String),
    /// A record that is not ours.
    #[error(transparent)]
    Malformed(#[from] crate::domain::call::MalformedRecord),
    /// A script answered what it never should.
    #[error("redis answered {0} with something unexpected")]
    Protocol(&'static str),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Redis(error.to_string())
    }
}

/// Does a server with this `maxmemory-policy` throw keys away? One that does not say which it has is believed.
fn evicts(policy: &str) -> bool {
    !matches!(policy, "noeviction" | "" | "unknown")
}

/// What `/health` says of Redis. Of a cluster, of all its primaries together, the worst counting.
#[derive(Clone, Debug, Default, serde::Serialize, utoipa::ToSchema)]
pub struct RedisHealth {
    /// A round trip, ms.
    pub latency_ms: f64,
    /// `maxmemory-policy`.
    pub maxmemory_policy: String,
    /// Is the append-only file on, on every primary?
    pub aof: bool,
    /// Replicas connected, of the primary that has fewest.
    pub replicas: u64,
    /// Memory in use, bytes.
    pub used_memory: u64,
    /// It may evict keys, and nobody has allowed that: a node does not start on it, and `/health` calls it down.
    pub refused: bool,
    /// What an operator should change, in words.
    pub advice: Vec<String>,
}

/// Connections for writes that wait for replicas: they send nothing twice. `WAIT` holds up what comes behind it, and a
/// dial has its moment: it does not stand behind a list that is handed in.
#[derive(Clone)]
pub(super) struct Durable {
    pub(super) dials: fred::clients::Client,
    pub(super) intake: fred::clients::Client,
}

impl Durable {
    fn both(&self) -> [&fred::clients::Client; 2] {
        [&self.dials, &self.intake]
    }
}

/// Redis, as the program knows it.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    /// Where `REDIS_WAIT_REPLICAS` asks for replicas.
    pub(super) durable: Option<Durable>,
    pub(super) config: Arc<RedisConfig>,
    pub(super) clock: Clock,
    pub(super) campaigns: Arc<super::campaigns::Cache>,
    pub(super) recent: Arc<super::recent::Recent>,
    pub(super) asker: Arc<super::capacity::Asker>,
    pub(super) skew: Arc<super::skew::Skew>,
    /// A connection of its own for what is told; made when somebody listens.
    pub(super) subscriber: fred::clients::SubscriberClient,
    pub(super) wakes: Arc<super::wake::Wakes>,
    /// Events that waited when each shard's outbox was last looked at.
    pub(super) backlog: Arc<super::outbox::Backlog>,
}

impl Store {
    /// Connects and checks the server.
    ///
    /// # Errors
    /// [`StoreError::Redis`] where it cannot be reached within five seconds, [`StoreError::Refused`] where it evicts
    /// keys, or was set up with another shard count or another `PHONE_HASH_KEY`.
    pub async fn connect(config: RedisConfig, clock: Clock) -> Result<Self, StoreError> {
        let deadline = Instant::now() + FIRST_ANSWER;
        let store = loop {
            let store = Self::open(config.clone(), clock.clone())?;
            let left = deadline.saturating_duration_since(Instant::now());
            // `init`, not `connect` and `wait_for_connect`: the latter subscribes after the fact, and where the connection
            // is made in between it waits for ever.
            let why = match tokio::time::timeout(left, store.init()).await {
                Ok(Ok(())) => break store,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() + RETRY_FIRST >= deadline {
                let seconds = FIRST_ANSWER.as_secs();
                return Err(StoreError::Redis(format!(
                    "no answer within {seconds} s ({why}); is REDIS_URL right?"
                )));
            }
            // Redis and its nodes are often started together.
            tokio::time::sleep(RETRY_FIRST).await;
        };
        store.check().await?;
        Ok(store)
    }

    async fn init(&self) -> Result<(), Error> {
        self.pool.init().await?;
        for client in self.durable.iter().flat_map(Durable::both) {
            client.init().await?;
        }
        Ok(())
    }

    pub(super) fn open(config: RedisConfig, clock: Clock) -> Result<Self, StoreError> {
        let mut url =
            url::Url::parse(&config.url).map_err(|e| StoreError::Refused(format!("REDIS_URL: {e}")))?;
        let connections = url
            .query_pairs()
            .find(|(k, _)| k == "max_connections")
            .and_then(|(_, v)| v.parse::<usize>().ok())
            .unwrap_or(2)
            .clamp(1, 64);
        let rest: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(k, _)| k != "max_connections")
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
        let mut redis =
            Config::from_url(url.as_str()).map_err(|e| StoreError::Refused(format!("REDIS_URL: {e}")))?;
        redis.fail_fast = true;
        let mut builder = Builder::from_config(redis);
        builder.with_performance_config(|p| {
            p.default_command_timeout = Duration::from_secs(2);
            p.broadcast_channel_capacity = 64;
        });
        builder.with_connection_config(|c| {
            c.connection_timeout = Duration::from_secs(1);
            c.internal_command_timeout = Duration::from_secs(1);
            c.max_command_attempts = 3;
            c.max_redirections = 10;
            c.max_command_buffer_len = 100_000;
            c.auto_client_setname = false;
            c.unresponsive = UnresponsiveConfig {
                max_timeout: Some(Duration::from_millis(1500)),
                interval: Duration::from_millis(400),
            };
            c.tcp.nodelay = Some(true);
        });
        builder.set_policy(ReconnectPolicy::new_constant(0, 100));
        let pool = builder.build_pool(connections)?;
        let subscriber = builder.build_subscriber_client()?;
        let durable = match config.wait_replicas {
            0 => None,
            _ => {
                builder.with_connection_config(|c| c.max_command_attempts = 1);
                Some(Durable { dials: builder.build()?, intake: builder.build()? })
            }
        };
        Ok(Self {
            pool,
            durable,
            config: Arc::new(config),
            clock,
            campaigns: Arc::default(),
            recent: Arc::default(),
            asker: Arc::default(),
            skew: Arc::default(),
            subscriber,
            wakes: Arc::default(),
            backlog: Arc::default(),
        })
    }

    pub(super) fn client(&self) -> &fred::clients::Client {
        self.pool.next()
    }

    /// The keyed hash of a number.
    #[must_use]
    pub fn hash(&self, e164: &str) -> PhoneHash {
        PhoneHash::of(self.config.phone_hash_key.expose_secret(), e164)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let health = self.health().await?;
        let policy = health.maxmemory_policy.as_str();
        if health.refused {
            return Err(StoreError::Refused(format!(
                "Redis has maxmemory-policy {policy}: it would evict queued calls and webhooks. Set it to noeviction."
            )));
        }
        let print = hex::encode(&Sha256::digest(self.config.phone_hash_key.expose_secret())[..8]);
        let mine = format!("shards={SHARDS} phone_hash_key={print}");
        let key = keys::fleet("META");
        let client = self.client();
        let _: Value = client.set(&key, &mine, None, Some(SetOptions::NX), false).await?;
        let theirs: Option<String> = client.get(&key).await?;
        match theirs {
            Some(theirs) if theirs == mine => Ok(()),
            Some(theirs) => Err(StoreError::Refused(format!(
                "this Redis was set up with {theirs}, this node has {mine}. With another PHONE_HASH_KEY or shard count \
                 nobody's do-not-call entries would be found; use the same, or an empty Redis."
            ))),
            None => Err(StoreError::Protocol("GET META")),
        }
    }

    /// One round trip and what the server says of itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn health(&self) -> Result<RedisHealth, StoreError> {
        let latency_ms = self.ping().await?.as_secs_f64() * 1000.0;
        let infos = self.infos().await;
        let field = |name: &'static str| {
            infos.iter().map(move |info| {
                info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
            })
        };
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        // Of a cluster the worst: each of its primaries holds calls.
        let policy = field("maxmemory_policy").max_by_key(|policy| (evicts(policy), !policy.is_empty()));
        let policy = policy.filter(|policy| !policy.is_empty()).unwrap_or("unknown");
        let mut health = RedisHealth {
            latency_ms,
            aof: field("aof_enabled").all(|on| on == "1"),
            replicas: field("connected_slaves").map(number).min().unwrap_or(0),
            used_memory: field("used_memory").map(number).sum(),
            refused: evicts(policy) && !self.config.allow_eviction,
            maxmemory_policy: policy.to_owned(),
            advice: Vec::new(),
        };
        if evicts(policy) {
            health
                .advice
                .push("set maxmemory-policy to noeviction: an evicting Redis loses queued calls".into());
        }
        if !health.aof {
            health.advice.push("turn appendonly on: without it a restart forgets what was accepted".into());
        }
        if health.replicas == 0 {
            // Of a cluster: of at least one primary.
            health.advice.push("connect a replica and set min-replicas-to-write 1".into());
        }
        Ok(health)
    }

    /// What each primary says of itself; of one that does not answer, nothing.
    async fn infos(&self) -> Vec<String> {
        let client = self.client();
        let primaries =
            client.cached_cluster_state().map(|state| state.unique_primary_nodes()).unwrap_or_default();
        if primaries.is_empty() {
            return vec![client.info(None::<InfoKind>).await.unwrap_or_default()];
        }
        let asked = primaries.into_iter().map(|primary| async move {
            client.with_cluster_node(primary).info::<String>(None).await.unwrap_or_default()
        });
        join_all(asked).await
    }

    /// A round trip alone, for readiness: a write, since a server whose disk or memory is full answers reads as ever and
    /// is as good as away.
    ///
    /// # Errors
    /// Where Redis does not answer in time, or refuses to write.
    pub async fn ping(&self) -> Result<Duration, StoreError> {
        let began = Instant::now();
        let key = keys::fleet("PROBE");
        let _: Value = self.client().set(&key, 1, Some(Expiration::EX(60)), None, false).await?;
        Ok(began.elapsed())
    }

    /// Runs of each script in this process and how many of them failed, by name.
    #[must_use]
    pub fn script_runs(&self) -> Vec<(&'static str, u64, u64)> {
        super::scripts::ALL.iter().map(|s| (s.name, s.runs(), s.errors())).collect()
    }

    /// Lets go of the connections.
    pub async fn close(&self) {
        let _ = self.pool.quit().await;
        for client in self.durable.iter().flat_map(Durable::both) {
            let _ = client.quit().await;
        }
    }

    /// Any command, for the few places where no typed one fits.
    pub(super) async fn command(&self, name: &'static str, args: Vec<String>) -> Result<Value, StoreError> {
        let hash = args.first().map_or(ClusterHash::Random, |key| ClusterHash::from(key.as_str()));
        let command = CustomCommand::new_static(name, hash, false);
        Ok(self.client().custom(command, args).await?)
    }
}
