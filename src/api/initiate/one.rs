//! One call coming in: a JSON object, perhaps under an idempotency key.

use axum::response::Response;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::App;
use crate::api::initiate::row::{Row, Shared};
use crate::api::initiate::{RepeatKey, accepted, mismatch};
use crate::api::problems::{Kind, Problem};
use crate::api::view::CallTicket;
use crate::domain::ids::{CallId, Shard};
use crate::store::Submitted;

pub(super) async fn initiate(
    app: &App,
    object: Map<String, Value>,
    key: Option<RepeatKey>,
) -> Result<Response, Problem> {
    let now = app.api.clock.now();
    let mut canonical = String::new();
    if key.is_some() {
        write_sorted(&mut canonical, &Value::Object(object.clone()));
    }
    let row = Row::read(app, object, "", &Shared::default(), now)
        .map_err(|errors| Problem::fields(Kind::InvalidRequest, errors))?;
    let e164 = row.phone.e164().to_owned();

    let fingerprint = hex::encode(&Sha256::digest(canonical.as_bytes())[..16]);
    if let Some(key) = &key {
        // The key's own entry first: the call's lies in its person's slot, where another number would not find it.
        let first = app.store().bind_repeat_key(&key.scoped, &fingerprint).await?;
        if first != fingerprint {
            return Err(mismatch());
        }
    }
    if app.prefixes.covers(app, &e164).await? {
        return Err(suppressed());
    }
    let call = row.call(app, CallId::new(Shard::of(&e164)), None, now);
    let idempotency = key.as_ref().map(|k| (k.scoped.as_str(), fingerprint.as_str()));
    match app.store().submit_one(&call, idempotency, now).await? {
        Submitted::Created | Submitted::Exists | Submitted::OpenElsewhere => {
            app.api.ops.metrics.calls_started.inc();
            tracing::info!(call_id = %call.id, phone_hash = %call.phone_hash, "accepted");
            Ok(accepted(&CallTicket::of(&call), false))
        }
        Submitted::Suppressed => Err(suppressed()),
        Submitted::Repeat { fingerprint: first, .. } if first != fingerprint => Err(mismatch()),
        Submitted::Repeat { id, .. } => {
            let first = app.store().load(&id).await?;
            let ticket =
                first.map_or_else(|| CallTicket::of(&call).for_id(&id), |call| CallTicket::of(&call));
            Ok(accepted(&ticket, true))
        }
    }
}

fn suppressed() -> Problem {
    Problem::new(Kind::NumberSuppressed, "this number is on the do-not-call list; nothing was queued")
}

/// JSON with sorted names: the order in which a client writes its fields makes no other request.
fn write_sorted(out: &mut String, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut names: Vec<&String> = object.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_sorted(out, &object[name]);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(out, item);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_names_makes_no_difference() {
        let print = |text: &str| {
            let mut out = String::new();
            write_sorted(&mut out, &serde_json::from_str(text).unwrap());
            out
        };
        assert_eq!(print(r#"{"a":1,"b":{"c":2,"d":[1,2]}}"#), print(r#"{ "b":{"d":[1,2],"c":2}, "a":1 }"#));
        assert_ne!(print(r#"{"d":[1,2]}"#), print(r#"{"d":[2,1]}"#));
    }
}
