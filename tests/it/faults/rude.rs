//! Receivers of webhooks with bad manners, on bare TCP: what no HTTP library would send.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::ports;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manners {
    /// 200 at once; the connection may be used again.
    Good,
    /// Nobody listens.
    Away,
    /// 200 after a while.
    Slow(Duration),
    /// A status with header lines.
    Status(u16, &'static str),
    /// No HTTP at all.
    Garbage,
    /// A header that never ends.
    EndlessHeader,
    /// 200 and a body that never ends.
    EndlessBody,
    /// 200 and the first bytes of a body whose rest never comes; the connection stays open.
    NeverCloses,
    /// Takes the request and says nothing.
    Silent,
    /// Takes the request and closes.
    Slams,
    /// 400 to the first event it ever saw, each time; 200 to all others.
    Poisoned,
}

impl Manners {
    /// What they refuse stays refused: however long it takes until each event had its one attempt.
    pub(super) fn refuse_for_good(self) -> bool {
        matches!(self, Self::Poisoned | Self::Status(410, _))
    }
}

/// One request that came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) call: String,
    pub(super) kind: String,
    pub(super) at: Instant,
    /// Was it answered with 2xx?
    pub(super) accepted: bool,
    /// Did one of its signatures verify with a key that the receiver knew then?
    pub(super) signed: bool,
}

/// A receiver.
pub(super) struct Rude {
    addr: SocketAddr,
    manners: Mutex<Manners>,
    keys: Mutex<Vec<Vec<u8>>>,
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rude {
    /// A receiver that knows the keys of `secrets`.
    pub(super) async fn start(manners: Manners, secrets: &[&str]) -> Arc<Self> {
        let rude = Arc::new(Self {
            addr: ([127, 0, 0, 1], ports::stable()).into(),
            manners: Mutex::new(Manners::Away),
            keys: Mutex::default(),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            accepting: Mutex::default(),
        });
        rude.know(secrets);
        rude.set(manners).await;
        rude
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    pub(super) fn manners(&self) -> Manners {
        *held(&self.manners)
    }

    /// Behaves so from the next request on.
    pub(super) async fn set(self: &Arc<Self>, manners: Manners) {
        *held(&self.manners) = manners;
        if matches!(manners, Manners::Away) || held(&self.accepting).is_some() {
            return;
        }
        let listener = TcpListener::bind(self.addr).await.expect("its own port");
        let rude = Arc::clone(self);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&rude).talk(socket));
            }
        });
        *held(&self.accepting) = Some(accepting);
    }

    /// The secrets it verifies with from now on.
    pub(super) fn know(&self, secrets: &[&str]) {
        let key = |secret: &&str| STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        *held(&self.keys) = secrets.iter().map(key).collect();
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        held(&self.seen).clone()
    }

    pub(super) fn requests(&self) -> usize {
        held(&self.seen).len()
    }

    /// How many requests it held at the same time.
    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    async fn talk(self: Arc<Self>, mut socket: TcpStream) {
        while let Some((head, body)) = request(&mut socket).await {
            let manners = self.manners();
            let accepted = self.note(&head, &body, manners);
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let open = answer(&mut socket, manners, accepted).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            if !open {
                return;
            }
        }
    }

    /// Writes a request down. Will it be accepted?
    fn note(&self, head: &str, body: &[u8], manners: Manners) -> bool {
        let header = |name: &str| {
            let found = head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            });
            found.unwrap_or_default()
        };
        let (id, time, signatures) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let word = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let signed = held(&self.keys).iter().any(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
            mac.update(format!("{id}.{time}.").as_bytes());
            mac.update(body);
            let ours = STANDARD.encode(mac.finalize().into_bytes());
            signatures.split(' ').any(|theirs| theirs.strip_prefix("v1,") == Some(ours.as_str()))
        });
        let mut seen = held(&self.seen);
        let accepted = match manners {
            Manners::Good | Manners::Slow(_) | Manners::EndlessBody | Manners::NeverCloses => true,
            Manners::Poisoned => seen.first().is_some_and(|first| first.id != id),
            _ => false,
        };
        let (call, kind) = (word("call_id"), word("event_type"));
        seen.push(Seen { id, call, kind, at: Instant::now(), accepted, signed });
        accepted
    }
}

/// The head and body of the next request; `None` once the connection is closed.
async fn request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0_u8; 8_192]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let body = end + 4;
            if bytes.len() >= body + length.unwrap_or(0) {
                return Some((head, bytes.split_off(body)));
            }
        }
        match socket.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

/// Answers; true where the connection may be used again.
async fn answer(socket: &mut TcpStream, manners: Manners, accepted: bool) -> bool {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    match manners {
        Manners::Good => socket.write_all(OK).await.is_ok(),
        Manners::Poisoned if accepted => socket.write_all(OK).await.is_ok(),
        Manners::Poisoned => socket.write_all(&plain(400, "")).await.is_ok(),
        Manners::Slow(wait) => {
            tokio::time::sleep(wait).await;
            socket.write_all(OK).await.is_ok()
        }
        Manners::Status(status, headers) => socket.write_all(&plain(status, headers)).await.is_ok(),
        Manners::Garbage => {
            let _ = socket.write_all(b"\x16\x03\x01 220 mail.example ESMTP \xff\xfe\r\n\r\n").await;
            false
        }
        Manners::EndlessHeader => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while socket.write_all(b"x-more: and more and more and more\r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
            false
        }
        Manners::EndlessBody => {
            let _ = socket.write_all(CHUNKED).await;
            while socket.write_all(b"5\r\nabcde\r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
            false
        }
        Manners::NeverCloses | Manners::Silent => {
            if matches!(manners, Manners::NeverCloses) {
                let _ = socket.write_all(CHUNKED).await;
            }
            // Until the other side has had enough.
            let mut rest = [0_u8; 64];
            while matches!(socket.read(&mut rest).await, Ok(n) if n > 0) {}
            false
        }
        Manners::Away | Manners::Slams => false,
    }
}

fn plain(status: u16, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\n{headers}content-length: 0\r\n\r\n").into_bytes()
}

impl Drop for Rude {
    fn drop(&mut self) {
        if let Some(accepting) = held(&self.accepting).take() {
            accepting.abort();
        }
    }
}
