//! A proxy before Redis that writes down every command, and the same commands sent again, bare and pipelined: the floor
//! under whatever the program does with Redis.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::machine::thread_cpu_us;

/// Commands sent before their answers are read.
const PIPELINE: usize = 100;
/// Commands that belong to a connection and not to the work.
const OF_CONNECTIONS: [&str; 9] =
    ["AUTH", "CLIENT", "HELLO", "INFO", "PING", "QUIT", "READONLY", "SELECT", "SUBSCRIBE"];

/// Listens in the place of a Redis and remembers what clients sent, in the order in which it was passed on.
pub(crate) struct Recorder {
    pub(crate) addr: SocketAddr,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    trips: Arc<AtomicUsize>,
}

impl Recorder {
    pub(crate) async fn before(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let frames: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (kept, trips) = (Arc::clone(&frames), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (kept, trips) = (Arc::clone(&kept), Arc::clone(&counted));
                tokio::spawn(async move {
                    // A client that goes away ends its connection, and nothing else.
                    let _ = pass_on(client, redis, &kept, &trips).await;
                });
            }
        });
        Self { addr, frames, trips }
    }

    /// How often commands came in, several at once counted once: the round trips of clients that do one thing at a time.
    pub(crate) fn trips(&self) -> usize {
        self.trips.load(Ordering::Relaxed)
    }

    /// How many commands there are so far.
    pub(crate) fn mark(&self) -> usize {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was sent, without what belongs to connections: before `mark` and after it.
    pub(crate) fn take(&self, mark: usize) -> Recording {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
            frames.iter().filter(|f| !OF_CONNECTIONS.contains(&name(f).as_str())).cloned().collect()
        };
        Recording {
            before: work(&frames[..mark.min(frames.len())]),
            measured: work(&frames[mark.min(frames.len())..]),
        }
    }
}

async fn pass_on(
    client: TcpStream,
    redis: SocketAddr,
    kept: &Mutex<Vec<Vec<u8>>>,
    trips: &AtomicUsize,
) -> io::Result<()> {
    let server = TcpStream::connect(redis).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let (mut buffer, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let n = from_client.read(&mut chunk).await?;
        if n == 0 {
            break;
        }
        trips.fetch_add(1, Ordering::Relaxed);
        buffer.extend_from_slice(&chunk[..n]);
        let mut at = 0;
        {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(len) = frame(&buffer[at..]) {
                kept.push(buffer[at..at + len].to_vec());
                at += len;
            }
        }
        to_server.write_all(&chunk[..n]).await?;
        buffer.drain(..at);
    }
    to_server.shutdown().await?;
    let _ = back.await;
    Ok(())
}

/// The length of the command that stands at the beginning, where it is whole.
fn frame(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let number = |kind: u8, at: &mut usize| -> Option<usize> {
        let line = bytes.get(*at..)?;
        let end = line.iter().position(|b| *b == b'\n')?;
        (*line.first()? == kind).then_some(())?;
        *at += end + 1;
        std::str::from_utf8(line.get(1..end.checked_sub(1)?)?).ok()?.parse().ok()
    };
    let words = number(b'*', &mut at)?;
    for _ in 0..words {
        let len = number(b'$', &mut at)?;
        at += len + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The command's name, in capitals.
fn name(frame: &[u8]) -> String {
    let text = String::from_utf8_lossy(&frame[..frame.len().min(64)]);
    text.split("\r\n").nth(2).unwrap_or_default().to_ascii_uppercase()
}

/// What was sent to a Redis.
pub(crate) struct Recording {
    /// What made it ready.
    pub(crate) before: Vec<Vec<u8>>,
    /// What was measured.
    pub(crate) measured: Vec<Vec<u8>>,
}

/// What sending it again took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) commands: usize,
    /// CPU of the one who sends and reads, µs.
    pub(crate) client_us: f64,
    /// Answers that were errors.
    pub(crate) errors: usize,
}

impl Recording {
    /// How often each command was sent in the measured part.
    pub(crate) fn by_name(&self) -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        for frame in &self.measured {
            *out.entry(name(frame)).or_default() += 1;
        }
        out
    }

    /// Sends commands to a Redis, many before their answers are read. Blocks.
    pub(crate) fn send(frames: &[Vec<u8>], redis: SocketAddr) -> io::Result<Replayed> {
        let stream = BlockingStream::connect(redis)?;
        stream.set_nodelay(true)?;
        let (mut reader, mut stream) = (BufReader::with_capacity(64 * 1024, stream.try_clone()?), stream);
        let began = thread_cpu_us();
        let mut errors = 0;
        for chunk in frames.chunks(PIPELINE) {
            stream.write_all(&chunk.concat())?;
            for _ in chunk {
                errors += usize::from(!pass_answer(&mut reader)?);
            }
        }
        Ok(Replayed { commands: frames.len(), client_us: thread_cpu_us() - began, errors })
    }
}

/// Reads one answer; false where it is an error.
fn pass_answer(reader: &mut BufReader<BlockingStream>) -> io::Result<bool> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let number = || -> i64 {
        std::str::from_utf8(line.get(1..).unwrap_or_default())
            .ok()
            .and_then(|t| t.trim().parse().ok())
            .unwrap_or(-1)
    };
    match line.first() {
        Some(b'$') => {
            if let Ok(len) = u64::try_from(number()) {
                io::copy(&mut reader.by_ref().take(len + 2), &mut io::sink())?;
            }
        }
        Some(b'*') => {
            for _ in 0..number().max(0) {
                pass_answer(reader)?;
            }
        }
        Some(b'-') => return Ok(false),
        Some(_) => {}
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    Ok(true)
}
