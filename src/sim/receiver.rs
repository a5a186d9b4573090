//! The simulated receiver of webhooks: verifies Standard Webhooks signatures by code of its own.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, StatusCode, Uri};
use sha2::Sha256;

use super::faults::{Faults, Target};
use super::ledger::{Delivery, Ledger};

/// How far `webhook-timestamp` may be from now, in seconds.
const TOLERANCE_S: u64 = 300;

#[derive(Clone)]
struct Desk {
    secret: String,
    ledger: Ledger,
    faults: Faults,
}

/// `POST /hook` and `POST /hook/{name}`.
pub(crate) fn router(secret: String, ledger: Ledger, faults: Faults) -> Router {
    Router::new().route("/hook", post(take)).route("/hook/{*name}", post(take)).with_state(Desk {
        secret,
        ledger,
        faults,
    })
}

async fn take(State(desk): State<Desk>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let id = header("webhook-id");
    let problem = verify(
        &desk.secret,
        &id,
        &header("webhook-timestamp"),
        &header("webhook-signature"),
        &body,
        Ledger::now() / 1000,
    )
    .err();
    let refused = problem.is_some();
    let refusal = |status, _: Option<&str>| {
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
    };
    let response = desk
        .faults
        .guard(Target::Receiver, &path, refusal, async {
            // A receiver with a secret believes nobody without it.
            if refused {
                StatusCode::UNAUTHORIZED.into_response()
            } else {
                StatusCode::NO_CONTENT.into_response()
            }
        })
        .await;
    let answered = if super::serve::is_slam(&response) { 0 } else { response.status().as_u16() };
    let json: serde_json::Value = serde_json::from_slice(&body)
        .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&body).into_owned()));
    let text = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let delivery = |order, repeat_of| Delivery {
        at: Ledger::now(),
        order,
        hook: path.trim_start_matches("/hook").trim_start_matches('/').to_owned(),
        id: id.clone(),
        event_type: text("event_type").unwrap_or_default(),
        call_id: text("call_id"),
        problem,
        repeat_of,
        answered,
        body: json.clone(),
    };
    desk.ledger.delivery(delivery, &id);
    response
}

/// Checks one delivery; `now` in seconds.
fn verify(
    secret: &str,
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: u64,
) -> Result<(), String> {
    if id.is_empty() {
        return Err("no webhook-id".into());
    }
    let at: u64 = timestamp.parse().map_err(|_| "webhook-timestamp is no number of seconds".to_owned())?;
    if at.abs_diff(now) > TOLERANCE_S {
        return Err(format!("webhook-timestamp is {} s off", at.abs_diff(now)));
    }
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
        .map_err(|_| "the receiver's own secret is no base64".to_owned())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|e| e.to_string())?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let matches = signatures
        .split(' ')
        .filter_map(|s| s.strip_prefix("v1,"))
        .filter_map(|s| STANDARD.decode(s).ok())
        .any(|s| mac.clone().verify_slice(&s).is_ok());
    if matches { Ok(()) } else { Err("no signature matches".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_vector() {
        let ok = |sig: &str, now| verify(SECRET, ID, "1614265330", sig, BODY, now);
        assert_eq!(ok(SIGNATURE, 1_614_265_330), Ok(()));
        assert_eq!(ok(&format!("v1,AAAA {SIGNATURE}"), 1_614_265_500), Ok(()), "a rotated secret sends two");
        assert!(ok(SIGNATURE, 1_614_265_331 + 300).is_err(), "too old");
        assert!(ok("v1,AAAA", 1_614_265_330).is_err());
        assert!(verify(SECRET, ID, "1614265330", SIGNATURE, b"{}", 1_614_265_330).is_err());
    }
}
