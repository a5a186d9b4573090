//! Waiting for something to become true, with a deadline. Nothing here guesses how long a thing takes: a slow machine
//! waits longer, a fast one not at all.

use std::future::Future;
use std::time::Duration;

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Asks `probe` until it answers `Some`, and gives that; panics with `what` when `deadline` passes first.
pub(crate) async fn until<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    match try_until(deadline, &mut probe).await {
        Some(found) => found,
        None => panic!("waited {deadline:?} in vain for {what}"),
    }
}

/// As [`until`], but a passed deadline is `None`.
pub(crate) async fn try_until<T, F, Fut>(deadline: Duration, mut probe: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    tokio::time::timeout(deadline, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(STEP).await;
        }
    })
    .await
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_is_found_and_one_that_does_not_is_named() {
        let mut asked = 0;
        let found = until("three", Duration::from_secs(5), || {
            asked += 1;
            std::future::ready((asked == 3).then_some("there"))
        })
        .await;
        assert_eq!(found, "there");
        let never = try_until(Duration::from_millis(30), || std::future::ready(None::<()>)).await;
        assert_eq!(never, None);
    }
}
