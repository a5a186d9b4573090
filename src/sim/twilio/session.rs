//! An answered call: documents fetched and executed, and what the callee hears of it, second by second.

use std::sync::Arc;

use super::Carrier;
use super::callee::{Callee, spoken_s};
use super::hooks::{Failure, Reply};
use super::line::{Line, Source};
use super::recordings;
use super::twiml::{self, Record, TwimlError, Verb};
use super::wire::{Form, get};
use crate::sim::ledger::{Fetch, Heard, Who};
use crate::sim::pace::CallClock;

/// What the carrier says when an application fails, before it hangs up.
const APPLICATION_ERROR: &str = "We are sorry. An application error has occurred. Goodbye.";
/// Documents in one call; a redirect that never speaks would run for ever.
const MAX_DOCUMENTS: u32 = 2_000;

/// How a verb, or a document, ends.
#[derive(Debug)]
pub(crate) enum Flow {
    /// The next verb.
    Next,
    /// Another document.
    Goto(Source),
    /// The call is over; who ended it.
    End(&'static str),
}

/// An answered call.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) carrier: Arc<Carrier>,
    pub(super) line: Arc<Line>,
    pub(super) clock: CallClock,
    pub(super) callee: Callee,
    /// Where the current document came from; relative URLs start here.
    base: String,
    limit: f64,
    documents: u32,
    /// A transfer leg that stands, ended with us.
    pub(super) child: Option<Arc<Line>>,
}

impl Session {
    pub(crate) fn new(carrier: &Arc<Carrier>, line: &Arc<Line>, callee: Callee, limit: f64) -> Self {
        Self {
            carrier: Arc::clone(carrier),
            line: Arc::clone(line),
            clock: CallClock::new(carrier.pace),
            callee,
            base: get(&line.form, "Url").unwrap_or_default().to_owned(),
            limit,
            documents: 0,
            child: None,
        }
    }

    /// Simulated seconds since the answer.
    pub(crate) fn seconds(&self) -> f64 {
        self.clock.now()
    }

    /// Holds the line until machine detection has decided.
    pub(crate) async fn waits_for_detection(&mut self, seconds: f64) {
        self.heard(Who::DeadAir, seconds, "machine detection").await;
    }

    /// Books what an interruption by the API cut short.
    pub(crate) fn interrupt(&mut self) {
        self.clock.settle();
        let now = self.clock.now();
        self.carrier.ledger.edit(&self.line.sid, |leg| {
            let end = leg.heard.last().map_or(0.0, |h| h.t + h.dur);
            match leg.heard.last_mut() {
                Some(last) if end > now => {
                    last.dur = (now - last.t).max(0.0);
                    last.cut = true;
                }
                _ if now - end > 0.001 => leg.heard.push(Heard {
                    t: end,
                    dur: now - end,
                    who: Who::DeadAir,
                    text: "waiting for the application".into(),
                    cut: true,
                }),
                _ => {}
            }
        });
        self.drop_child();
    }

    /// Executes documents from `source` on until the call is over; says who ended it.
    pub(crate) async fn run(&mut self, mut source: Source) -> &'static str {
        loop {
            self.documents += 1;
            if self.documents > MAX_DOCUMENTS {
                self.twiml_error(&TwimlError { code: 12000, message: "documents without end".into() });
                return self.application_error().await;
            }
            let verbs = match self.document(source).await {
                Ok(verbs) => verbs,
                Err(by) => return by,
            };
            match self.execute(&verbs).await {
                Flow::Next => return "agent",
                Flow::Goto(next) => source = next,
                Flow::End(by) => return by,
            }
        }
    }

    /// The verbs of `source`, of the fallback where that fails, or who ended the call where that fails too.
    async fn document(&mut self, source: Source) -> Result<Vec<Verb>, &'static str> {
        let (url, method, extra) = match source {
            Source::Inline(twiml) => return self.parse(twiml.as_bytes()).await,
            Source::Fetch { url, method, extra } => (url, method, extra),
        };
        let failed = match self.fetch(&url, &method, extra).await {
            Ok(reply) => match read(&reply) {
                Ok(verbs) => {
                    self.base = url;
                    return Ok(verbs);
                }
                Err(e) => {
                    self.twiml_error(&e);
                    e.code
                }
            },
            Err(Failure::Status(_) | Failure::Connect(_)) => 11200,
            Err(Failure::Read(_)) => 11205,
        };
        let Some(fallback) = get(&self.line.form, "FallbackUrl").map(str::to_owned) else {
            return Err(self.application_error().await);
        };
        let method = get(&self.line.form, "FallbackMethod").unwrap_or("POST").to_ascii_uppercase();
        let extra = vec![
            ("ErrorCode".to_owned(), failed.to_string()),
            ("ErrorUrl".to_owned(), url.split('#').next().unwrap_or(&url).to_owned()),
        ];
        if let Ok(reply) = self.fetch(&fallback, &method, extra).await {
            match read(&reply) {
                Ok(verbs) => {
                    self.base = fallback;
                    return Ok(verbs);
                }
                Err(e) => self.twiml_error(&e),
            }
        }
        Err(self.application_error().await)
    }

    async fn parse(&mut self, body: &[u8]) -> Result<Vec<Verb>, &'static str> {
        match twiml::parse(body) {
            Ok(verbs) => Ok(verbs),
            Err(e) => {
                self.twiml_error(&e);
                Err(self.application_error().await)
            }
        }
    }

    async fn fetch(&mut self, url: &str, method: &str, extra: Form) -> Result<Reply, Failure> {
        let mut form = self.line.params(&self.carrier);
        form.extend(extra);
        let token = uuid::Uuid::new_v4().to_string();
        let (carrier, sid) = (Arc::clone(&self.carrier), self.line.sid.clone());
        let note = |tried: super::hooks::Try| {
            let fetch = Fetch {
                at: tried.at,
                url: url.to_owned(),
                sent_to: tried.sent_to,
                form: form.clone(),
                token: token.clone(),
                attempt: tried.number,
                status: tried.status,
                error: tried.error,
                took_ms: tried.took_ms,
                body: tried.body,
            };
            carrier.ledger.edit(&sid, |leg| leg.fetches.push(fetch));
        };
        let from = self.clock.now();
        let answer = self.carrier.hooks.send(url, method, &form, &token, note);
        let result = self.clock.wait(answer).await;
        let dur = self.clock.now() - from;
        self.book(from, dur, Who::DeadAir, "waiting for the application");
        result
    }

    fn twiml_error(&self, e: &TwimlError) {
        self.carrier
            .ledger
            .edit(&self.line.sid, |leg| leg.twiml_errors.push(format!("{} {}", e.code, e.message)));
    }

    async fn application_error(&mut self) -> &'static str {
        self.heard(Who::CarrierError, spoken_s(APPLICATION_ERROR), APPLICATION_ERROR).await;
        "carrier"
    }

    /// Runs verbs until one leaves the document.
    pub(super) async fn execute(&mut self, verbs: &[Verb]) -> Flow {
        for verb in verbs {
            match self.verb(verb).await {
                Flow::Next => {}
                flow => return flow,
            }
            if self.clock.now() >= self.limit {
                return Flow::End("carrier");
            }
        }
        Flow::Next
    }

    async fn verb(&mut self, verb: &Verb) -> Flow {
        match verb {
            Verb::Say { .. } | Verb::Play { .. } | Verb::Pause { .. } => {
                self.speak(verb, f64::INFINITY).await;
                Flow::Next
            }
            Verb::Gather(gather) => self.gather(gather).await,
            Verb::Redirect { url, method } => self.goto(Some(url), method, Form::new()),
            Verb::Dial(dial) => self.dial(dial).await,
            Verb::Record(record) => self.record(record).await,
            Verb::Hangup => Flow::End("agent"),
        }
    }

    /// Says, plays or pauses, for `most` seconds at the most (a callee may talk over it).
    pub(super) async fn speak(&mut self, verb: &Verb, most: f64) {
        match verb {
            Verb::Say { text, times } => {
                for _ in 0..*times {
                    let whole = spoken_s(text);
                    self.callee.hears(text);
                    self.heard(Who::Agent, whole.min(most), text).await;
                    if whole > most {
                        self.mark_cut();
                        break;
                    }
                }
            }
            Verb::Play { url, digits, times } => {
                let text =
                    if digits.is_empty() { format!("[plays {url}]") } else { format!("[keys {digits}]") };
                for _ in 0..*times {
                    self.heard(Who::Agent, 3.0_f64.min(most), &text).await;
                }
            }
            Verb::Pause { seconds } => self.heard(Who::DeadAir, seconds.min(most), "pause").await,
            _ => {}
        }
    }

    fn mark_cut(&self) {
        self.carrier.ledger.edit(&self.line.sid, |leg| {
            if let Some(last) = leg.heard.last_mut() {
                last.cut = true;
            }
        });
    }

    /// Writes a stretch down and lets it pass, up to the call's time limit.
    pub(super) async fn heard(&mut self, who: Who, dur: f64, text: &str) {
        let dur = dur.min((self.limit - self.clock.now()).max(0.0));
        self.book(self.clock.now(), dur, who, text);
        self.clock.pass(dur).await;
    }

    fn book(&self, t: f64, dur: f64, who: Who, text: &str) {
        let heard = Heard { t, dur, who, text: text.to_owned(), cut: false };
        self.carrier.ledger.edit(&self.line.sid, |leg| leg.heard.push(heard));
    }

    /// On to `url` (the current document's where none is given), read from the current document's place.
    pub(super) fn goto(&self, url: Option<&str>, method: &str, extra: Form) -> Flow {
        let given = url.filter(|u| !u.is_empty()).unwrap_or(&self.base);
        let absolute = self.absolute(given);
        Flow::Goto(Source::Fetch { url: absolute, method: method.to_owned(), extra })
    }

    /// `given` as it stands where it is absolute (the signature is made over these very characters), else seen from the
    /// current document.
    pub(super) fn absolute(&self, given: &str) -> String {
        match url::Url::parse(given) {
            Ok(_) => given.to_owned(),
            Err(_) => url::Url::parse(&self.base)
                .and_then(|b| b.join(given))
                .map_or_else(|_| given.to_owned(), String::from),
        }
    }

    async fn record(&mut self, record: &Record) -> Flow {
        self.heard(Who::Agent, 0.5, "[beep]").await;
        let spoken = self.listen_for_recording(record).await;
        let Some(seconds) = spoken else { return Flow::End("callee") };
        let callback = record.callback.as_deref().map(|c| self.absolute(c));
        let sid = recordings::finished(&self.carrier, &self.line, seconds, callback);
        let url = recordings::media_url(&self.carrier, &sid);
        let extra = vec![
            ("RecordingSid".into(), sid),
            ("RecordingUrl".into(), url),
            ("RecordingDuration".into(), format!("{seconds:.0}")),
            ("Digits".into(), String::new()),
        ];
        self.goto(record.action.as_deref(), &record.method, extra)
    }
}

fn read(reply: &Reply) -> Result<Vec<Verb>, TwimlError> {
    let kind = reply.content_type.split(';').next().unwrap_or_default().trim().to_owned();
    if !matches!(kind.as_str(), "text/xml" | "application/xml" | "text/html") {
        return Err(TwimlError { code: 12300, message: format!("content type {kind:?} is no TwiML") });
    }
    twiml::parse(&reply.body)
}
