//! HTTP as a load tester needs it: bare hyper, connections that are kept, a closed loop and an open one. In the open
//! loop a request's latency counts from the moment at which it was to leave, so that a stall hides nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::machine::Latencies;

/// Nothing answers later than this.
const TIME_OUT: Duration = Duration::from_secs(120);

/// A request that is to be made.
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Post {
    /// JSON to `path`.
    pub(crate) fn json(path: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { path: path.to_owned(), headers, body: body.into() }
    }
}

/// A connection, made anew where the other side ended it.
pub(crate) struct Conn {
    to: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Conn {
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self { to, sender: None }
    }

    /// Posts, and reads the whole answer.
    pub(crate) async fn post(&mut self, post: Post) -> io::Result<(u16, Bytes)> {
        let answer = tokio::time::timeout(TIME_OUT, self.exchange(post)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, post: Post) -> io::Result<(u16, Bytes)> {
        let mut request =
            Request::post(post.path).header("host", self.to.to_string()).body(Full::new(post.body));
        if let Ok(request) = &mut request {
            for (name, value) in post.headers {
                let value = value.parse().map_err(io::Error::other)?;
                request.headers_mut().insert(name, value);
            }
        }
        let request = request.map_err(io::Error::other)?;
        let sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => self.sender.insert(sender),
            None => {
                let stream = TcpStream::connect(self.to).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
                tokio::spawn(connection);
                self.sender.insert(sender)
            }
        };
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        Ok((status, body))
    }
}

/// What became of many requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// By status; 0: no answer.
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) latencies: Latencies,
}

impl Outcome {
    fn add(&mut self, answer: &io::Result<(u16, Bytes)>, took: Duration) {
        *self.statuses.entry(answer.as_ref().map_or(0, |(status, _)| *status)).or_default() += 1;
        self.latencies.add(took);
    }

    fn join(&mut self, more: Self) {
        for (status, n) in more.statuses {
            *self.statuses.entry(status).or_default() += n;
        }
        self.latencies.join(more.latencies);
    }

    /// Says what is wrong where not all were answered with `status`.
    pub(crate) fn all(&self, status: u16, what: &str) -> Vec<String> {
        let others = self.statuses.keys().any(|s| *s != status);
        if others { vec![format!("{what}: answered {:?}, not all {status}", self.statuses)] } else { vec![] }
    }
}

/// `each` requests over each of `at_once` connections, which send their next as soon as the last is answered. `make` gets
/// the connection's number and how many it sent before.
pub(crate) async fn closed(
    to: SocketAddr,
    at_once: usize,
    each: u64,
    make: impl Fn(usize, u64) -> Post + Send + Sync + 'static,
) -> Outcome {
    let make = Arc::new(make);
    let mut lanes = JoinSet::new();
    for lane in 0..at_once {
        let make = Arc::clone(&make);
        lanes.spawn(async move {
            let (mut conn, mut outcome) = (Conn::to(to), Outcome::default());
            for n in 0..each {
                let post = make(lane, n);
                let began = Instant::now();
                let answer = conn.post(post).await;
                outcome.add(&answer, began.elapsed());
            }
            outcome
        });
    }
    let mut all = Outcome::default();
    while let Some(lane) = lanes.join_next().await {
        all.join(lane.expect("a connection's lane does not panic"));
    }
    all
}

/// `total` requests, `rate` a second, each at its own moment whatever became of those before.
pub(crate) async fn open(
    to: SocketAddr,
    rate: f64,
    total: u64,
    make: impl Fn(u64) -> Post + Send + Sync + 'static,
) -> Outcome {
    let idle: Arc<Mutex<Vec<Conn>>> = Arc::default();
    let make = Arc::new(make);
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for n in 0..total {
        let moment = began + Duration::from_secs_f64(n as f64 / rate);
        if moment > Instant::now() {
            tokio::time::sleep_until(moment.into()).await;
        }
        let (idle, make) = (Arc::clone(&idle), Arc::clone(&make));
        tasks.spawn(async move {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut conn = kept.unwrap_or_else(|| Conn::to(to));
            let answer = conn.post(make(n)).await;
            let mut outcome = Outcome::default();
            outcome.add(&answer, moment.elapsed());
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            outcome
        });
    }
    let mut all = Outcome::default();
    while let Some(one) = tasks.join_next().await {
        all.join(one.expect("a request does not panic"));
    }
    all
}

/// A server of the harness: answers with what `answer` makes of path and body. Lives as long as the runtime.
pub(crate) async fn serve<F>(answer: F) -> SocketAddr
where
    F: Fn(&str, Bytes) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound socket has an address");
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Arc::clone(&answer);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                        Ok::<_, Infallible>(answer(parts.uri.path(), body))
                    }
                });
                // A client that goes away is no error of a load test.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    addr
}

/// An answer of JSON.
pub(crate) fn reply(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(Full::new(body.into())).expect("a fixed answer is well formed")
}
