//! What the provider says about its rate limits, from the headers of its last answer.

use reqwest::header::HeaderMap;

/// The `x-ratelimit-*` headers of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests left in the provider's window.
    pub remaining_requests: Option<u64>,
    /// Tokens left in the provider's window.
    pub remaining_tokens: Option<u64>,
    /// When the requests come back, in the provider's notation (`1s`, `6m0s`).
    pub reset_requests: Option<String>,
    /// When the tokens come back, in the provider's notation.
    pub reset_tokens: Option<String>,
}

impl Limits {
    /// Reads the headers; `None` where the provider sent none of them.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| {
            headers.get(name).and_then(|v| v.to_str().ok()).map(|v| v.chars().take(32).collect::<String>())
        };
        let number = |name: &str| text(name).and_then(|v| v.trim().parse().ok());
        let limits = Self {
            remaining_requests: number("x-ratelimit-remaining-requests"),
            remaining_tokens: number("x-ratelimit-remaining-tokens"),
            reset_requests: text("x-ratelimit-reset-requests"),
            reset_tokens: text("x-ratelimit-reset-tokens"),
        };
        (limits != Self::default()).then_some(limits)
    }
}
