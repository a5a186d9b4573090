//! Two-stage shutdown: the first signal drains (nothing new is begun, what runs is finished), the second, or the end of
//! the grace time, ends hard. What is cut off comes due again on another node.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A process' life: a token that says "drain", and the tasks that do.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Canceled at the first signal.
    pub drain: CancellationToken,
    /// What must finish.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for SIGTERM, SIGINT or a cancel of `drain`, then for the tasks, at most `grace`. Answers whether all
    /// finished.
    ///
    /// # Errors
    /// Where the signals cannot be listened to.
    pub async fn run(&self, grace: Duration) -> std::io::Result<bool> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: draining"),
            _ = int.recv() => tracing::info!("SIGINT: draining"),
            () = self.drain.cancelled() => {}
        }
        self.drain.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => Ok(true),
            () = tokio::time::sleep(grace) => {
                tracing::warn!("the grace time is over; what runs is left to other nodes");
                Ok(false)
            }
            _ = term.recv() => Ok(false),
            _ = int.recv() => Ok(false),
        }
    }
}
