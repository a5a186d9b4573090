//! Two-stage shutdown. The first signal drains: nothing new is begun, what runs is finished, and the door stays open until
//! balancers have seen `/readyz` say no. The end of the grace time hands back what still runs; a second signal ends at
//! once, and what is cut off comes due again on another node when its lease ends.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long handing back may take: some round trips to Redis.
const LAST: Duration = Duration::from_secs(2);

/// A process' life: tokens that say what is to end, and the tasks that do.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Canceled at the first signal.
    pub drain: CancellationToken,
    /// Canceled once `tasks` are over and balancers had their time: no more requests are taken.
    pub close: CancellationToken,
    /// Canceled at the end of the grace time: what still runs is handed back.
    pub give_up: CancellationToken,
    /// What must finish, before the door closes.
    pub tasks: TaskTracker,
    /// What serves requests, until `close` and the last answer.
    pub doors: TaskTracker,
}

impl Lifecycle {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for SIGTERM, SIGINT or a cancel of `drain`, then for all that runs, at most `grace`. Requests are taken for
    /// `notice` more, never longer than half of `grace`. Answers whether all finished.
    ///
    /// # Errors
    /// Where the signals cannot be listened to.
    pub async fn run(&self, grace: Duration, notice: Duration) -> std::io::Result<bool> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: draining"),
            _ = int.recv() => tracing::info!("SIGINT: draining"),
            () = self.drain.cancelled() => {}
        }
        self.drain.cancel();
        self.tasks.close();
        self.doors.close();
        let finish = async {
            tokio::join!(self.tasks.wait(), tokio::time::sleep(notice.min(grace / 2)));
            self.close.cancel();
            self.doors.wait().await;
            true
        };
        let in_time = async {
            tokio::select! {
                finished = finish => finished,
                () = tokio::time::sleep(grace) => {
                    tracing::warn!("the grace time is over; what still runs is handed back to other nodes");
                    self.give_up.cancel();
                    let _ = tokio::time::timeout(LAST, self.tasks.wait()).await;
                    false
                }
            }
        };
        tokio::select! {
            finished = in_time => Ok(finished),
            _ = term.recv() => Ok(false),
            _ = int.recv() => Ok(false),
        }
    }
}
