//! One accept loop for every simulated server: plain HTTP/1 on loopback, and the power to slam the door.
//!
//! A handler that wants its connection closed without an answer returns [`slam`]; axum alone cannot do that.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Marks an answer that must not be sent: the connection closes instead.
#[derive(Clone, Copy, Debug)]
struct Slam;

/// The answer that is no answer: whoever asked sees the connection close.
pub(crate) fn slam() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Slam);
    response
}

/// Whether `response` will not be sent.
pub(crate) fn is_slam(response: &Response) -> bool {
    response.extensions().get::<Slam>().is_some()
}

/// Everything that runs in a simulated world, stopped together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// Fires when the world ends.
    pub(crate) end: CancellationToken,
    tasks: TaskTracker,
}

impl Life {
    /// Runs `task` until it is done or the world ends.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Ends the world and waits until its last task is gone.
    pub(crate) async fn stop(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Serves `router` on 127.0.0.1:`port` (0: any free port) until `life` ends, and says where.
///
/// # Errors
/// When the port cannot be bound.
pub(crate) async fn serve(life: &Life, port: u16, router: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let at = listener.local_addr()?;
    let inner = life.clone();
    life.spawn(async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                // No file handles left, most likely: some will be, once a connection ends.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let router = router.clone();
            inner.spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let router = router.clone();
                    async move { answer(router, request).await }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    Ok(at)
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, std::io::Error> {
    let response: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
    let Ok(response) = response;
    if is_slam(&response) {
        // hyper closes a connection whose service fails, without a byte of answer.
        return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
    }
    Ok(response)
}
