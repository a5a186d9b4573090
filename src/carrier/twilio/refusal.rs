//! What a refusal to place a call means: a table of Twilio's codes.
//!
//! Source: Twilio's error and warning dictionary (`twilio.com/docs/api/errors/<code>`). Read there: 10004, 13223, 13224,
//! 13226, 20429 ("never processed and always safe to retry"), 21210, 21214, 21216, 21217; the others stand by their
//! titles. Codes that are not in the table are treated as passing, so that the retry policy bounds them and the call ends
//! `carrier_failed` with the code beside it.

use std::time::Duration;

/// A definite no: Twilio answered, and no call was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's own code. Its message is not kept, since it holds the number.
    pub code: Option<u32>,
    /// What to do about it.
    pub kind: RefusalKind,
}

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Too many requests at once: slow down, then the same attempt again.
    RateLimited {
        /// As asked for by `Retry-After`.
        after: Option<Duration>,
    },
    /// The account's limit of concurrent calls: the same attempt again when a call has ended.
    Concurrency,
    /// Something of the operator's is wrong (credentials, caller id, callback URL, a suspended account): every call would
    /// be refused alike. Hold and report; the call is not to blame and is tried again later.
    Account,
    /// May pass: again by the retry policy.
    Retryable,
    /// No later attempt will do better.
    Final(FinalKind),
}

/// Why no later attempt will do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalKind {
    /// No such number: disposition `invalid_number`.
    InvalidNumber,
    /// Twilio or the account does not call this destination: disposition `carrier_blocked`.
    CarrierBlocked,
}

impl Refusal {
    /// Classifies an answer by Twilio's code, else by the HTTP status.
    #[must_use]
    pub fn of(status: u16, code: Option<u32>, after: Option<Duration>) -> Self {
        Self { status, code, kind: kind(status, code, after) }
    }

    /// The provider's code for the record: Twilio's, else `http_<status>`.
    #[must_use]
    pub fn provider_code(&self) -> String {
        self.code.map_or_else(|| format!("http_{}", self.status), |code| code.to_string())
    }
}

fn kind(status: u16, code: Option<u32>, after: Option<Duration>) -> RefusalKind {
    use FinalKind::{CarrierBlocked, InvalidNumber};
    use RefusalKind::{Account, Concurrency, Final, RateLimited, Retryable};
    match code {
        // Call concurrency limit exceeded.
        Some(10004) => return Concurrency,
        // Too many concurrent API requests.
        Some(20429) => return RateLimited { after },
        // 13223 invalid format, 13224 not supported or invalid, 13226 invalid country code, 21201 no 'To',
        // 21202 a premium number, 21211 invalid 'To', 21214 'To' cannot be reached, 21217 does not appear to be valid.
        Some(13223 | 13224 | 13226 | 21201 | 21202 | 21211 | 21214 | 21217) => return Final(InvalidNumber),
        // 13225 and 21216 blocked by Twilio, 13227 and 21215 geographic permissions, 21203 international calling is off,
        // 21219 'To' not verified (trial accounts), 21610 unsubscribed from us.
        Some(13225 | 13227 | 21203 | 21215 | 21216 | 21219 | 21610) => return Final(CarrierBlocked),
        // 10001 and 20005 account not active, 10002 trial account, 10005 voice disabled, 20003 authentication,
        // 20008 test credentials, 20403 and 20404 no such account for us, 21205 and 21609 a callback URL of ours,
        // 21210 'From' not verified, 21212 invalid 'From', 21213 no 'From'.
        Some(
            10001 | 10002 | 10005 | 20003 | 20005 | 20008 | 20403 | 20404 | 21205 | 21210 | 21212 | 21213
            | 21609,
        ) => return Account,
        _ => {}
    }
    match status {
        429 => RateLimited { after },
        401 | 403 | 404 => Account,
        // A redirect: the base URL is not the API's.
        300..=399 => Account,
        _ => Retryable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_win_over_statuses() {
        use FinalKind::{CarrierBlocked, InvalidNumber};
        use RefusalKind::{Account, Concurrency, Final, RateLimited, Retryable};
        let after = Some(Duration::from_secs(3));
        for (status, code, want) in [
            (400, Some(21211), Final(InvalidNumber)),
            (400, Some(21217), Final(InvalidNumber)),
            (400, Some(13224), Final(InvalidNumber)),
            (400, Some(21215), Final(CarrierBlocked)),
            (403, Some(21216), Final(CarrierBlocked)),
            (400, Some(13227), Final(CarrierBlocked)),
            (400, Some(21610), Final(CarrierBlocked)),
            (401, Some(20003), Account),
            (400, Some(21210), Account),
            (404, Some(20404), Account),
            (403, None, Account),
            (307, None, Account),
            (429, Some(20429), RateLimited { after }),
            (429, None, RateLimited { after }),
            (429, Some(10004), Concurrency),
            (400, Some(10004), Concurrency),
            (400, Some(99_999), Retryable),
            (400, None, Retryable),
        ] {
            assert_eq!(Refusal::of(status, code, after).kind, want, "{status} {code:?}");
        }
        assert_eq!(Refusal::of(400, Some(21211), None).provider_code(), "21211");
        assert_eq!(Refusal::of(418, None, None).provider_code(), "http_418");
    }
}
