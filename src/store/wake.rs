//! Who waits for work is woken: a script that makes something due in a shard says so on a channel, and every node that
//! listens looks at that shard. Messages get lost (a connection breaks, a cluster's bus drops one), so whoever listens
//! looks at each shard now and then all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{SHARDS, Shard};
use crate::store::connect::Store;

/// The channel; a message is `c` (calls) or `o` (outbox) and the shard's two digits. The scripts name it, too.
const CHANNEL: &str = "WAKE";
/// The pause before another try to listen.
const AGAIN: Duration = Duration::from_secs(1);

// A shard is a bit.
const _: () = assert!(SHARDS <= 64);

/// Shards in which something came up since somebody looked.
#[derive(Debug, Default)]
pub struct Woken {
    shards: AtomicU64,
    notify: Notify,
}

impl Woken {
    /// Something came up there.
    pub fn mark(&self, shard: Shard) {
        self.add(1 << (u64::from(shard.0) % 64));
    }

    fn add(&self, shards: u64) {
        // One permit is kept where nobody waits: a mark is never slept through.
        if self.shards.fetch_or(shards, Ordering::AcqRel) | shards != 0 {
            self.notify.notify_one();
        }
    }

    /// The shards marked since this was last asked.
    pub fn take(&self) -> impl Iterator<Item = Shard> + use<> {
        let shards = self.shards.swap(0, Ordering::AcqRel);
        Shard::all().filter(move |shard| shards >> (u64::from(shard.0) % 64) & 1 == 1)
    }

    /// Waits until a shard is marked; at once where one was since the last wait.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }
}

/// What a node knows of work that came up.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Calls are due or ready.
    pub calls: Woken,
    /// Events are due.
    pub outbox: Woken,
    listening: OnceLock<()>,
}

impl Wakes {
    fn all(&self) {
        self.calls.add(u64::MAX);
        self.outbox.add(u64::MAX);
    }

    /// Takes a message; what is none of ours is passed over.
    fn take_note(&self, message: &[u8]) {
        let Some((kind, digits)) = message.split_first() else { return };
        let shard = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        let Some(shard) = shard.filter(|shard| *shard < SHARDS).map(Shard) else { return };
        match kind {
            b'c' => self.calls.mark(shard),
            b'o' => self.outbox.mark(shard),
            _ => {}
        }
    }
}

impl Store {
    /// What came up, as far as this node heard of it. Heard is only what it did itself, until it listens.
    #[must_use]
    pub fn wakes(&self) -> &Arc<Wakes> {
        &self.wakes
    }

    /// Listens to what other nodes make due, until `stop`; a second call changes nothing. Redis being away is waited out.
    pub fn listen(&self, stop: &CancellationToken) {
        if self.wakes.listening.set(()).is_err() {
            return;
        }
        let (subscriber, wakes, stop) = (self.subscriber.clone(), Arc::clone(&self.wakes), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = hear(&subscriber, &wakes) => {}
            }
            let _ = subscriber.quit().await;
        });
    }
}

async fn hear(subscriber: &SubscriberClient, wakes: &Wakes) {
    let mut messages = subscriber.message_rx();
    while let Err(error) = subscriber.init().await {
        tracing::debug!(%error, "nobody tells this node yet of work that comes up");
        tokio::time::sleep(AGAIN).await;
    }
    let (mut connected, mut listens) = (subscriber.reconnect_rx(), false);
    loop {
        if !listens {
            listens = subscriber.subscribe(CHANNEL).await.is_ok();
            // Whatever was said meanwhile was not heard.
            wakes.all();
        }
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => wakes.take_note(message.value.as_bytes().unwrap_or_default()),
                Err(RecvError::Lagged(_)) => wakes.all(),
                Err(RecvError::Closed) => return,
            },
            _ = connected.recv() => listens = false,
            () = tokio::time::sleep(AGAIN), if !listens => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(woken: &Woken) -> Vec<u16> {
        woken.take().map(|shard| shard.0).collect()
    }

    #[test]
    fn messages_mark_their_shard_once_and_others_nothing() {
        let wakes = Wakes::default();
        for message in ["c07", "c63", "c07", "o00", "c64", "x01", "c", "", "c-1", "cé"] {
            wakes.take_note(message.as_bytes());
        }
        assert_eq!((marked(&wakes.calls), marked(&wakes.outbox)), (vec![7, 63], vec![0]));
        assert_eq!(marked(&wakes.calls), Vec::<u16>::new());
        wakes.all();
        assert_eq!(marked(&wakes.outbox).len(), usize::from(SHARDS));
    }

    #[tokio::test]
    async fn a_mark_is_not_slept_through() {
        let woken = Woken::default();
        woken.mark(Shard(3));
        woken.wait().await;
        assert_eq!(marked(&woken), [3]);
    }
}
