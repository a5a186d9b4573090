//! A tiny application in Carillon's place, and a world that calls it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::Value;

use super::signature::sign;
use super::wire::{Form, get};
use crate::sim::ledger::Leg;
use crate::sim::people::Kind;
use crate::sim::serve::{Life, serve};
use crate::sim::{Sim, SimConfig, start};

pub(super) const TOKEN: &str = "secret-of-the-test";

/// One request that the application got.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) form: Form,
    pub(super) signed: bool,
    pub(super) token: String,
}

type Script = Arc<dyn Fn(&Got, usize) -> Response + Send + Sync>;

/// An application that answers each path by a script and keeps what it was asked.
#[derive(Clone)]
struct App {
    got: Arc<Mutex<Vec<Got>>>,
    script: Script,
    public: String,
}

pub(super) struct World {
    pub(super) sim: Sim,
    app: App,
    _life: Life,
    pub(super) client: reqwest::Client,
}

async fn take(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let form: Form = url::form_urlencoded::parse(&body).into_owned().collect();
    let full = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let header = |n: &str| parts.headers.get(n).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let signed = header("x-twilio-signature") == sign(TOKEN, &format!("{}{full}", app.public), &form);
    let got = Got { path: full.clone(), form, signed, token: header("i-twilio-idempotency-token") };
    let nth = {
        let mut all = app.got.lock().expect("not poisoned");
        all.push(got.clone());
        all.iter().filter(|g| g.path == full).count() - 1
    };
    (app.script)(&got, nth)
}

pub(super) fn twiml(inner: &str) -> Response {
    ([("content-type", "text/xml")], format!("<Response>{inner}</Response>")).into_response()
}

/// A world at 200 times life, whose carrier reaches the application under a public name.
pub(super) async fn world(
    tune: impl FnOnce(&mut SimConfig),
    script: impl Fn(&Got, usize) -> Response + Send + Sync + 'static,
) -> World {
    let life = Life::default();
    let public = "https://carillon.example".to_owned();
    let app = App { got: Arc::default(), script: Arc::new(script), public: public.clone() };
    let at = serve(&life, 0, Router::new().fallback(take).with_state(app.clone())).await.expect("a port");
    let mut config = SimConfig {
        seed: 7,
        speed: 200.0,
        auth_token: TOKEN.into(),
        max_cps: 1000.0,
        rewrite: vec![(public, vec![format!("http://{at}")])],
        ..SimConfig::default()
    };
    tune(&mut config);
    let sim = start(config).await.expect("the world starts");
    World { sim, app, _life: life, client: reqwest::Client::new() }
}

impl World {
    pub(super) fn account(&self) -> String {
        format!("{}/2010-04-01/Accounts/{}", self.sim.twilio_url(), self.sim.config().account_sid)
    }

    pub(super) async fn rest(
        &self,
        method: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}{path}", self.account());
        let request = match method {
            "GET" => self.client.get(url),
            "DELETE" => self.client.delete(url),
            _ => self.client.post(url).form(form),
        };
        let answer = request.basic_auth(&self.sim.config().account_sid, Some(TOKEN)).send().await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or_default()))
    }

    pub(super) fn number(&self, kind: Kind) -> String {
        self.sim.world().number(kind, 3)
    }

    pub(super) async fn create(&self, to: &str, more: &[(&str, &str)]) -> reqwest::Result<(u16, Value)> {
        let url = "https://carillon.example/api/calls/webhook/call_07x?attempt=1";
        let status = "https://carillon.example/status";
        let mut form = vec![("To", to), ("From", "+12125550199"), ("Url", url), ("StatusCallback", status)];
        for event in ["initiated", "ringing", "answered", "completed"] {
            form.push(("StatusCallbackEvent", event));
        }
        form.retain(|(n, _)| !more.iter().any(|(m, _)| m == n));
        form.extend_from_slice(more);
        self.rest("POST", "/Calls.json", &form).await
    }

    /// The leg once it is over and `callbacks` status callbacks were sent.
    pub(super) async fn over(&self, sid: &str, callbacks: usize) -> Leg {
        let found = self.sim.ledger().until(|book| {
            book.leg(sid).filter(|l| l.ended_at.is_some() && l.callbacks.len() >= callbacks).cloned()
        });
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("the call ends")
    }

    pub(super) async fn call(&self, kind: Kind, more: &[(&str, &str)], callbacks: usize) -> Leg {
        let (status, json) = self.create(&self.number(kind), more).await.expect("an answer");
        assert_eq!(status, 201, "{json}");
        self.over(json["sid"].as_str().expect("a sid"), callbacks).await
    }

    pub(super) fn got(&self, path: &str) -> Vec<Got> {
        let all = self.app.got.lock().expect("not poisoned");
        all.iter().filter(|g| g.path.starts_with(path)).cloned().collect()
    }
}

pub(super) fn statuses(got: &[Got]) -> Vec<String> {
    got.iter().map(|g| get(&g.form, "CallStatus").unwrap_or_default().to_owned()).collect()
}

pub(super) const TURN: &str = "<Gather input=\"speech dtmf\" action=\"/turn?n=1#rc=2&amp;rp=all\" speechTimeout=\"auto\">\
    <Say>Hello, this is an assistant. May I ask you something?</Say></Gather><Redirect>/silent</Redirect>";

pub(super) fn interview(got: &Got, _: usize) -> Response {
    if got.path.starts_with("/api/") {
        twiml(TURN)
    } else if got.path.starts_with("/status") {
        StatusCode::NO_CONTENT.into_response()
    } else {
        twiml("<Say>Thank you. Goodbye.</Say><Hangup/>")
    }
}
