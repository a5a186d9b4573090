//! The REST API that Carillon calls: calls, recordings, the account; Basic auth; form in, JSON out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::line::{Control, Source};
use super::wire::{API_VERSION, Form, Refusal, Status, get};
use super::{Carrier, create, recordings};
use crate::sim::faults::Target;
use crate::sim::ledger::{Create, Ledger, Rest};

/// The largest form taken.
const MAX_FORM: usize = 256 * 1024;

/// The API. Paths are taken apart by hand: the carrier's `{sid}.json` and `{sid}` are one resource.
pub(crate) fn router(carrier: Arc<Carrier>) -> Router {
    Router::new().fallback(handle).with_state(carrier)
}

async fn handle(State(carrier): State<Arc<Carrier>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_FORM).await else {
        return Refusal::new(413, 20001, "Request entity too large").response();
    };
    let path = parts.uri.path().to_owned();
    let full = parts.uri.path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    let query: Form = decode(parts.uri.query().unwrap_or_default().as_bytes());
    let form = decode(&body);
    let account = format!("/{API_VERSION}/Accounts/{}", carrier.account.sid);
    if parts.method == Method::POST && path == format!("{account}/Calls.json") {
        return post_call(&carrier, &parts.headers, &form).await;
    }
    let target = if parts.method == Method::GET { Target::TwilioGet } else { Target::TwilioUpdate };
    let response = carrier
        .faults
        .guard(target, &full, Refusal::by_fault, async {
            let answered = authorize(&carrier, &parts.headers)
                .and_then(|()| route(&carrier, &parts.method, &path, &account, &query, &form));
            answered.unwrap_or_else(|refusal| refusal.response())
        })
        .await;
    carrier.ledger.rest(Rest {
        at: Ledger::now(),
        method: parts.method.to_string(),
        path: full,
        form,
        status: response.status().as_u16(),
    });
    response
}

fn decode(bytes: &[u8]) -> Form {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

fn authorize(carrier: &Carrier, headers: &HeaderMap) -> Result<(), Refusal> {
    let expected = format!("{}:{}", carrier.account.sid, carrier.account.token);
    let given = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Basic "))
        .and_then(|v| STANDARD.decode(v.trim()).ok());
    if given.as_deref() == Some(expected.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::new(401, 20003, "Authenticate"))
    }
}

async fn post_call(carrier: &Arc<Carrier>, headers: &HeaderMap, form: &Form) -> Response {
    let value = |name| get(form, name).unwrap_or_default().to_owned();
    let index = carrier.ledger.create(Create {
        at: Ledger::now(),
        t_us: 0,
        to: value("To"),
        from: value("From"),
        call_id: super::line::names_in(get(form, "Url").unwrap_or_default()).0,
        live: 0,
        form: form.clone(),
        headers: seen(headers),
        status: 0,
        code: None,
        sid: None,
        answer_lost: false,
        unknown: create::unknown(form),
    });
    let key = get(form, "To").unwrap_or_default();
    let response = carrier
        .faults
        .guard(Target::TwilioCreate, key, Refusal::by_fault, async {
            let created = authorize(carrier, headers).and_then(|()| create::create(carrier, form));
            match created {
                Ok((sid, json)) => {
                    // Lost until the answer has passed the faults.
                    carrier.ledger.created(index, |c| {
                        c.sid = Some(sid);
                        c.answer_lost = true;
                    });
                    (StatusCode::CREATED, Json(json)).into_response()
                }
                Err(refusal) => {
                    carrier.ledger.created(index, |c| c.code = Some(refusal.code));
                    refusal.response()
                }
            }
        })
        .await;
    let lost = crate::sim::serve::is_slam(&response);
    carrier.ledger.created(index, |c| {
        c.status = if lost { 0 } else { response.status().as_u16() };
        c.answer_lost &= lost;
    });
    response
}

fn seen(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().unwrap_or("(not text)");
            // The scheme is worth knowing, the secret is not.
            let value = if name == http::header::AUTHORIZATION {
                value.split(' ').next().unwrap_or_default()
            } else {
                value
            };
            (name.to_string(), value.to_owned())
        })
        .collect()
}

fn route(
    carrier: &Arc<Carrier>,
    method: &Method,
    path: &str,
    account: &str,
    query: &Form,
    form: &Form,
) -> Result<Response, Refusal> {
    let missing = || Refusal::not_found(path);
    let rest = path.strip_prefix(account).ok_or_else(missing)?;
    let whole = rest.strip_suffix(".json").unwrap_or(rest);
    let parts: Vec<&str> = whole.split('/').skip(1).collect();
    let read = method == Method::GET;
    match (method.as_str(), parts.as_slice()) {
        ("GET", []) => Ok(Json(json!({
            "sid": carrier.account.sid, "friendly_name": "Simulated", "status": "active", "type": "Full",
            "uri": path,
        }))
        .into_response()),
        ("GET", ["Calls"]) => Ok(list_calls(carrier, path, query)),
        ("GET" | "POST", ["Calls", sid]) => {
            let line = carrier.line(sid).ok_or_else(missing)?;
            if !read {
                update_call(&line, form, path)?;
            }
            Ok(Json(line.json(carrier)).into_response())
        }
        ("GET", ["Calls", sid, "Recordings"]) => Ok(recording_list(carrier, Some(sid))),
        ("GET", ["Recordings"]) => Ok(recording_list(carrier, None)),
        ("POST", ["Calls", sid, "Recordings"]) => {
            let line = carrier.line(sid).ok_or_else(missing)?;
            if line.status() != Status::InProgress {
                let why = "Requested resource is not eligible for recording";
                return Err(Refusal::new(400, 21220, why));
            }
            let (_, json) = recordings::start(carrier, &line, form, "StartCallRecordingAPI");
            Ok((StatusCode::CREATED, Json(json)).into_response())
        }
        ("POST", ["Calls", sid, "Recordings", recording]) => {
            let line = carrier.line(sid).ok_or_else(missing)?;
            let status = get(form, "Status").filter(|s| ["stopped", "paused", "in-progress"].contains(s));
            let status = status.ok_or_else(|| Refusal::new(400, 20001, "Status is not valid"))?;
            recordings::update(carrier, &line, recording, status)
                .map(|json| Json(json).into_response())
                .ok_or_else(missing)
        }
        ("GET", ["Recordings", sid] | ["Calls", _, "Recordings", sid]) if rest.ends_with(".json") => {
            recordings::show(carrier, sid).map(|json| Json(json).into_response()).ok_or_else(missing)
        }
        ("GET", ["Recordings", sid]) => {
            recordings::media(carrier, sid.trim_end_matches(".wav")).ok_or_else(missing)
        }
        ("DELETE", ["Recordings", sid] | ["Calls", _, "Recordings", sid]) => {
            if recordings::delete(carrier, sid) {
                Ok(StatusCode::NO_CONTENT.into_response())
            } else {
                Err(missing())
            }
        }
        _ => Err(missing()),
    }
}

fn recording_list(carrier: &Carrier, call: Option<&str>) -> Response {
    Json(json!({ "recordings": recordings::list(carrier, call), "page": 0, "page_size": 50 })).into_response()
}

fn update_call(line: &super::line::Line, form: &Form, path: &str) -> Result<(), Refusal> {
    let status = line.status();
    if status.is_over() {
        // As spec and experience say: for a call that is over there is nothing to change any more.
        return Err(Refusal::not_found(path));
    }
    match get(form, "Status") {
        Some("completed") => line.tell(Control::HangUp),
        // Does nothing to a call that was answered.
        Some("canceled") if status == Status::InProgress => {}
        Some("canceled") => line.tell(Control::HangUp),
        Some(_) => return Err(Refusal::new(400, 21218, "Invalid Status")),
        None => {
            if status != Status::InProgress {
                return Err(Refusal::new(400, 21220, "Call is not in-progress. Cannot redirect."));
            }
            let source = match (get(form, "Url"), get(form, "Twiml")) {
                (Some(url), _) => Source::Fetch {
                    url: url.to_owned(),
                    method: get(form, "Method").unwrap_or("POST").to_ascii_uppercase(),
                    extra: Form::new(),
                },
                (None, Some(twiml)) => Source::Inline(twiml.to_owned()),
                (None, None) => return Err(Refusal::new(400, 20001, "Nothing to update")),
            };
            line.tell(Control::Goto(source));
        }
    }
    Ok(())
}

fn list_calls(carrier: &Carrier, path: &str, query: &Form) -> Response {
    let number =
        |name: &str, default: usize| get(query, name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (size, page) = (number("PageSize", 50).clamp(1, 1000), number("Page", 0));
    // StartTime has the granularity of a day and leaves out what has not started.
    let started = query.iter().any(|(n, _)| n.starts_with("StartTime"));
    let lines: Vec<_> = {
        let switch = carrier.switch();
        switch.order.iter().rev().filter_map(|sid| switch.lines.get(sid)).cloned().collect()
    };
    let meant = |name: &str, value: &str| get(query, name).is_none_or(|v| v == value);
    let found: Vec<_> = lines
        .iter()
        .filter(|l| meant("To", &l.to) && meant("From", &l.from))
        .filter(|l| meant("ParentCallSid", l.parent.as_deref().unwrap_or_default()))
        .filter(|l| meant("Status", l.status().as_str()))
        .filter(|l| !started || l.state().started.is_some())
        .collect();
    let calls: Vec<_> = found.iter().skip(page * size).take(size).map(|l| l.json(carrier)).collect();
    let more = found.len() > (page + 1) * size;
    let at = |page: usize| format!("{path}?PageSize={size}&Page={page}");
    Json(json!({
        "calls": calls,
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": (page * size + calls.len()).saturating_sub(1),
        "uri": at(page),
        "first_page_uri": at(0),
        "next_page_uri": more.then(|| at(page + 1)),
        "previous_page_uri": page.checked_sub(1).map(at),
    }))
    .into_response()
}
