//! The archive against an S3 server in this process: real requests, real signatures.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::upload::PART;
use super::*;
use crate::base::telemetry::Metrics;

const KEY: &str = "calls/audio/2024/01/15/call_07/recording.wav";

struct Server {
    root: tempfile::TempDir,
    url: String,
    /// A status to answer everything with, instead of S3's own; 0 for none.
    fault: Arc<AtomicU16>,
    /// Each request as "METHOD path?query".
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let s3 = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let fault = Arc::new(AtomicU16::new(0));
        let (seen, requests) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, s3, fault.clone(), seen));
        Self { root, url, fault, requests }
    }

    async fn archive(&self) -> (Archive, Metrics) {
        self.archive_with(Duration::from_secs(30)).await
    }

    async fn archive_with(&self, source_idle: Duration) -> (Archive, Metrics) {
        let metrics = Metrics::new();
        let config = ArchiveConfig {
            endpoint_url: Some(self.url.clone()),
            credentials: Some(Credentials {
                access_key: "key".into(),
                secret_key: "secret".into(),
                session_token: None,
            }),
            source_idle,
            ..ArchiveConfig::new("bucket", "us-east-1")
        };
        let archive = Archive::connect(config, metrics.clone()).await;
        archive.ensure_bucket().await.expect("a bucket");
        archive.ensure_bucket().await.expect("the same bucket");
        (archive, metrics)
    }

    fn stored(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.path().join("bucket").join(key)).ok()
    }

    /// Waits until a request that contains `part` has been seen.
    async fn saw(&mut self, part: &str) {
        let seen = async { while self.requests.recv().await.is_some_and(|r| !r.contains(part)) {} };
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the request");
    }
}

async fn serve(
    listener: TcpListener,
    s3: S3Service,
    fault: Arc<AtomicU16>,
    seen: mpsc::UnboundedSender<String>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (s3, fault, seen) = (s3.clone(), fault.clone(), seen.clone());
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let _ = seen.send(format!("{} {}", request.method(), request.uri()));
            let (s3, fault) = (s3.clone(), fault.load(Ordering::SeqCst));
            async move {
                if fault > 0 {
                    let mut answer = http::Response::new(s3s::Body::empty());
                    *answer.status_mut() = http::StatusCode::from_u16(fault).unwrap_or_default();
                    return Ok(answer);
                }
                hyper::service::Service::call(&s3, request).await
            }
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        tokio::spawn(async move {
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

fn chunks(data: &[u8], size: usize) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let chunks: Vec<_> = data.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(chunks)
}

#[tokio::test]
async fn a_document_is_put_read_and_deleted() {
    let server = Server::start().await;
    let (archive, metrics) = server.archive().await;
    let document = json!({"turns": ["héllo"], "n": 1});
    for _ in 0..2 {
        archive.put_json("a/b.json", &document).await.expect("stored");
    }
    assert!(archive.exists("a/b.json").await.expect("known"));
    assert_eq!(archive.get_json("a/b.json").await.expect("read"), Some(document));
    archive.delete("a/b.json").await.expect("deleted");
    archive.delete("a/b.json").await.expect("deleted already");
    assert!(!archive.exists("a/b.json").await.expect("known"));
    assert_eq!(archive.get_json("a/b.json").await.expect("read"), None);
    archive.health().await.expect("healthy");
    assert_eq!(metrics.s3_puts.with_label_values(&["ok"]).get(), 2);
}

#[tokio::test]
async fn a_short_stream_is_one_put_and_a_long_one_comes_in_parts() {
    let mut server = Server::start().await;
    let (archive, _) = server.archive().await;
    for (len, announced, multipart) in [
        (0, None, false),
        (1_000, Some(1_000), false),
        (PART, None, false),
        (PART + 1, None, true),
        (2 * PART, Some(2 * PART as u64), true),
        (2 * PART + 77, None, true),
    ] {
        let data = noise(len);
        while server.requests.try_recv().is_ok() {}
        let stored =
            archive.put_stream(KEY, "audio/wav", announced, chunks(&data, 70_001)).await.expect("stored");
        assert_eq!(stored, len as u64);
        assert!(server.stored(KEY).as_deref() == Some(&data), "{len} bytes came back different");
        assert_eq!(archive.size(KEY).await.expect("known"), Some(len as u64));
        let mut seen = Vec::new();
        while let Ok(request) = server.requests.try_recv() {
            seen.push(request);
        }
        assert_eq!(seen.iter().any(|r| r.contains("uploadId")), multipart, "{len}: {seen:?}");
    }
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing_behind() {
    let mut server = Server::start().await;
    let (archive, metrics) = server.archive_with(Duration::from_millis(300)).await;
    let good = noise(PART + 100);
    let broken = chunks(&good, 100_000)
        .map(|c| c.map_err(|e| e.to_string()))
        .chain(stream::iter([Err("reset".to_owned())]));
    let error = archive.put_stream(KEY, "audio/wav", None, broken).await.expect_err("broken");
    assert!(matches!(&error, ArchiveError::Source(why) if why == "reset"), "{error}");
    assert!(error.retryable());
    server.saw("DELETE").await;

    let error =
        archive.put_stream(KEY, "audio/wav", Some(10), chunks(&good[..9], 4)).await.expect_err("short");
    assert_eq!(error.to_string(), "the source failed: 9 bytes came of 10 announced");
    let error =
        archive.put_stream(KEY, "audio/wav", Some(10), chunks(&good, 100_000)).await.expect_err("long");
    assert!(matches!(error, ArchiveError::Source(_)));

    let silent = chunks(&good[..9], 4).chain(stream::pending());
    let error = archive.put_stream(KEY, "audio/wav", None, silent).await.expect_err("silent");
    assert_eq!(error.to_string(), "the source failed: silent for 300ms");
    assert_eq!(server.stored(KEY), None);
    assert_eq!(metrics.s3_puts.with_label_values(&["source"]).get(), 4);
}

#[tokio::test]
async fn an_upload_that_its_caller_gives_up_is_aborted() {
    let mut server = Server::start().await;
    let (archive, _) = server.archive().await;
    let endless = chunks(&noise(PART + 1), 100_000).chain(stream::pending());
    let task = tokio::spawn(async move { archive.put_stream(KEY, "audio/wav", None, endless).await });
    server.saw("partNumber=1").await;
    task.abort();
    server.saw("DELETE").await;
}

#[tokio::test]
async fn the_source_is_read_no_further_than_it_is_stored() {
    let server = Server::start().await;
    let (archive, _) = server.archive().await;
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = pulled.clone();
    let chunk = Bytes::from(noise(64 * 1024));
    let endless = stream::repeat_with(move || {
        counter.fetch_add(chunk.len(), Ordering::SeqCst);
        Ok::<_, Infallible>(chunk.clone())
    });
    server.fault.store(403, Ordering::SeqCst);
    archive.put_stream(KEY, "audio/wav", None, endless).await.expect_err("refused");
    assert!(pulled.load(Ordering::SeqCst) <= PART + 64 * 1024);
}

#[tokio::test]
async fn errors_say_whether_later_will_help() {
    let server = Server::start().await;
    let (archive, metrics) = server.archive().await;
    for (status, retryable) in [(503, true), (500, true), (429, true), (403, false), (400, false)] {
        server.fault.store(status, Ordering::SeqCst);
        let error = archive.put_json("a.json", &json!({})).await.expect_err("refused");
        assert_eq!(error.retryable(), retryable, "{status}: {error}");
        assert!(archive.health().await.is_err());
        assert!(archive.get_json("a.json").await.is_err());
        assert!(archive.exists("a.json").await.is_err());
    }
    server.fault.store(0, Ordering::SeqCst);
    archive.put_json("a.json", &json!({})).await.expect("it recovers by itself");
    let puts = |label| metrics.s3_puts.with_label_values(&[label]).get();
    assert_eq!((puts("retry"), puts("refused"), puts("ok")), (3, 2, 1));
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let config = ArchiveConfig {
        endpoint_url: Some(url),
        credentials: Some(Credentials {
            access_key: "k".into(),
            secret_key: "s".into(),
            session_token: None,
        }),
        ..ArchiveConfig::new("bucket", "us-east-1")
    };
    let archive = Archive::connect(config, Metrics::new()).await;
    let error = archive.health().await.expect_err("away");
    assert!(matches!(error, ArchiveError::Unavailable { .. }), "{error}");
}
