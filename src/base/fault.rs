//! What a test may do to this process: named points where it is killed (SIGKILL, at once, as a crash would). and a clock
//! that is wrong. In release builds all of it is nothing.
//!
//! `CARILLON_KILL_AT=name` kills at the first passing of `name`; `name:3` at the third.

/// Passes the point `name`.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static TARGET: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let target = TARGET.get_or_init(|| {
        let text = std::env::var("CARILLON_KILL_AT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    let Some((wanted, nth)) = target else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}

/// How far this process' clock is off on purpose, ms: `CARILLON_CLOCK_OFF_MS`, 0 where that is not set.
#[cfg(debug_assertions)]
#[must_use]
pub fn clock_off() -> i64 {
    use std::sync::OnceLock;

    static OFF: OnceLock<i64> = OnceLock::new();
    *OFF.get_or_init(|| {
        std::env::var("CARILLON_CLOCK_OFF_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0)
    })
}

/// How far this process' clock is off on purpose: never in a release build.
#[cfg(not(debug_assertions))]
#[inline]
#[must_use]
pub fn clock_off() -> i64 {
    0
}

/// Passes the point `name`: nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &'static str) {}
