//! Deliveries to receivers on loopback: good ones, bad ones, and ones that mean harm.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const NOW: Millis = 1_700_000_000_500;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config(timeout_ms: u64) -> DeliverConfig {
    DeliverConfig {
        timeout: Duration::from_millis(timeout_ms),
        allow_private: true,
        secrets: SigningSecret::parse_list(SECRET).expect("a secret"),
    }
}

fn deliverer() -> Deliverer {
    Deliverer::new(config(5_000)).expect("a client")
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// A server that says `bytes` to whoever asks, and then keeps the connection open.
async fn raw(bytes: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let mut request = [0_u8; 4_096];
            if socket.read(&mut request).await.is_ok() && socket.write_all(bytes).await.is_ok() {
                open.push(socket);
            }
        }
    });
    (format!("http://{address}"), connections)
}

#[tokio::test]
async fn what_is_sent_is_signed_and_the_same_on_every_attempt() {
    type Seen = mpsc::UnboundedSender<(HeaderMap, String)>;
    async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: String) -> StatusCode {
        let _ = seen.send((headers, body));
        StatusCode::NO_CONTENT
    }
    let (sender, mut seen) = mpsc::unbounded_channel();
    let base = serve(Router::new().route("/hook", post(receive)).with_state(sender)).await;
    let deliverer = deliverer();
    for _ in 0..2 {
        let verdict =
            deliverer.deliver(&format!("{base}/hook"), "evt_7", b"{\"name\":\"Zo\xc3\xab\"}", NOW).await;
        assert_eq!(verdict, Verdict::Delivered { status: 204 });
        let (headers, body) = seen.recv().await.expect("received");
        assert_eq!(body, "{\"name\":\"Zoë\"}");
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        assert_eq!(header("webhook-id"), "evt_7");
        assert_eq!(header("webhook-timestamp"), "1700000000");
        assert_eq!(header("webhook-signature"), "v1,eRAvZFLC/dtsmTqzRist4wENd0YuYQxjDx135jwBv4k=");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("user-agent"), AGENT);
    }
}

#[tokio::test]
async fn each_status_has_its_verdict() {
    async fn answer(axum::extract::Path(code): axum::extract::Path<u16>) -> impl IntoResponse {
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT);
        (code, [("retry-after", "7"), ("location", "/200")], "x".repeat(100_000))
    }
    let base = serve(Router::new().route("/{code}", post(answer))).await;
    let deliverer = deliverer();
    for (code, label, blamed) in [
        (200, "delivered", false),
        (202, "delivered", false),
        (301, "retry", true),
        (307, "retry", true),
        (400, "retry", false),
        (404, "retry", false),
        (410, "dead", false),
        (429, "retry", true),
        (500, "retry", true),
        (503, "retry", true),
    ] {
        let verdict = deliverer.deliver(&format!("{base}/{code}"), "evt", b"{}", NOW).await;
        assert_eq!((verdict.label(), verdict.blames_endpoint()), (label, blamed), "{code}: {verdict:?}");
        if let Verdict::Retry { status, after, .. } = verdict {
            assert_eq!((status, after), (Some(code), Some(Duration::from_secs(7))));
        }
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_cut_off() {
    let (base, _) = raw(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
    let verdict = Deliverer::new(config(200)).expect("a client").deliver(&base, "evt", b"{}", NOW).await;
    assert_eq!(
        verdict,
        Verdict::Retry { status: None, after: None, why: "no answer within 200ms".to_owned() }
    );
}

#[tokio::test]
async fn a_receiver_that_never_stops_answering_has_answered() {
    let (base, _) = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let verdict = deliverer().deliver(&base, "evt", b"{}", NOW).await;
    assert_eq!(verdict, Verdict::Delivered { status: 200 });
}

#[tokio::test]
async fn a_closed_port_and_a_dropped_connection_are_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let verdict = deliverer().deliver(&format!("http://{address}/?key=hidden"), "evt", b"{}", NOW).await;
    let Verdict::Retry { status: None, why, .. } = &verdict else { panic!("{verdict:?}") };
    assert!(why.starts_with("connection failed: ") && !why.contains("hidden"), "{why}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let verdict = deliverer().deliver(&format!("http://{address}/"), "evt", b"{}", NOW).await;
    assert_eq!(verdict.label(), "retry");
    assert!(verdict.blames_endpoint());
}

#[tokio::test]
async fn a_name_that_turns_inside_is_not_connected_to() {
    let (base, connections) = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = base.rsplit(':').next().expect("a port").to_owned();
    let lookup = |_: String| -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    };
    let url = format!("http://rebinding.example:{port}/");

    let strict = DeliverConfig { allow_private: false, ..config(5_000) };
    let guarded = Deliverer::with_guard(strict, Guard::with_lookup(false, lookup)).expect("a client");
    let verdict = guarded.deliver(&url, "evt", b"{}", NOW).await;
    assert_eq!(
        verdict,
        Verdict::Retry {
            status: None,
            after: None,
            why: "the host's name points to a loopback address".to_owned()
        }
    );
    assert_eq!(connections.load(Ordering::SeqCst), 0);

    let open = Deliverer::with_guard(config(5_000), Guard::with_lookup(true, lookup)).expect("a client");
    assert_eq!(open.deliver(&url, "evt", b"{}", NOW).await, Verdict::Delivered { status: 200 });
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn each_attempt_is_judged_by_what_the_name_says_then_and_a_redirect_leads_nowhere() {
    let (inside, reached) = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    // A receiver on this machine stands for one outside: the guard is asked with a rule that lets it pass.
    let redirect: &'static [u8] =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {inside}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .leak()
            .as_bytes();
    let (outside, _) = raw(redirect).await;
    let port = outside.rsplit(':').next().expect("a port").to_owned();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    // Outside the first time, a metadata service ever after.
    let lookup =
        move |_: String| -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                Ok(vec![IpAddr::from(if first { [127, 0, 0, 1] } else { [169, 254, 169, 254] })])
            })
        };
    let deliverer = Deliverer::with_guard(config(5_000), Guard::with_lookup(true, lookup)).expect("a client");
    let url = format!("http://rebinding.example:{port}/");
    let Verdict::Retry { status, why, .. } = deliverer.deliver(&url, "evt", b"{}", NOW).await else {
        panic!("a redirect is no delivery")
    };
    assert_eq!(status, Some(307), "{why}");
    assert_eq!(reached.load(Ordering::SeqCst), 0, "the redirect was followed");
    let verdict = deliverer.deliver(&url, "evt", b"{}", NOW).await;
    let Verdict::Retry { status: None, why, .. } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(why, "the host's name points to a cloud metadata service");
    assert_eq!(looks.load(Ordering::SeqCst), 2, "one look for each connection");
}

#[tokio::test]
async fn what_can_never_be_delivered_is_dead_at_once() {
    let strict = Deliverer::new(DeliverConfig { allow_private: false, ..config(5_000) }).expect("a client");
    for url in ["http://127.0.0.1:1/", "ftp://example.com/", "nonsense", "http://localhost/"] {
        assert_eq!(strict.deliver(url, "evt", b"{}", NOW).await.label(), "dead", "{url}");
    }
    assert_eq!(strict.deliver("http://example.com/", "evt\n7", b"{}", NOW).await.label(), "dead");
}

#[test]
fn retry_after_is_read_in_both_forms() {
    let read = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a header"));
        retry_after(&headers, 1_445_412_450_000)
    };
    assert_eq!(read("120"), Some(Duration::from_secs(120)));
    assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(read("Fri, 21 Oct 2005 07:28:00 GMT"), Some(Duration::ZERO));
    assert_eq!(read("99999999999"), Some(LONGEST_RETRY_AFTER));
    for nonsense in ["", "soon", "-5", "1.5"] {
        assert_eq!(read(nonsense), None, "{nonsense}");
    }
}

#[test]
fn the_longer_wait_counts() {
    let policy = backoff::Policy { jitter: 0.0, ..backoff::Policy::WEBHOOK };
    let seed = seed_of("evt_7");
    assert_eq!(next_delay(2, None, &policy, seed), Duration::from_secs(20));
    assert_eq!(next_delay(2, Some(Duration::from_secs(3)), &policy, seed), Duration::from_secs(20));
    assert_eq!(next_delay(2, Some(Duration::from_secs(90)), &policy, seed), Duration::from_secs(90));
    assert_ne!(seed, seed_of("evt_8"));
}
