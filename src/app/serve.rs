//! The HTTP server of a node: it binds first, so that the address is known before anything else starts, and takes
//! requests until it is told to close: while a node drains it still answers, so that balancers see why.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A bound socket that serves nothing yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Where it is bound; the port is a real one, also where 0 was asked for.
    pub addr: SocketAddr,
}

/// Binds `addr`.
///
/// # Errors
/// Where it cannot be bound; says which address and why.
pub async fn bind(addr: SocketAddr) -> anyhow::Result<Bound> {
    let listener = TcpListener::bind(addr)
        .await
        .map_err(|e| anyhow::anyhow!("BIND_ADDR: {addr} cannot be bound: {e}"))?;
    let addr = listener.local_addr()?;
    Ok(Bound { listener, addr })
}

impl Bound {
    /// Serves until `close`, then finishes what is under way.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn serve(self, router: Router, close: CancellationToken) -> std::io::Result<()> {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, service).with_graceful_shutdown(close.cancelled_owned()).await
    }
}
