//! Ports for servers that must keep theirs over a restart.
//!
//! A port that the system hands out (`:0`) lies in the range from which it also takes the near end of outgoing
//! connections. While such a server is down, a client that keeps trying can be given the very port it is dialing and
//! then talks to itself. So these ports come from below that range, and each is tried by binding it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// How far above its port a Redis Cluster node listens for the other nodes.
pub(crate) const BUS_OFFSET: u16 = 10_000;

/// First port considered; the highest is twice this, so that port + [`BUS_OFFSET`] stays below the usual 32768.
const FLOOR: u16 = 11_000;
const SPAN: u16 = 11_000;

/// A port on 127.0.0.1 that was free a moment ago, as was the one [`BUS_OFFSET`] above it. Whoever uses it must still
/// be ready to lose it to another process, and ask again.
pub(crate) fn stable() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Processes that run side by side start at different places.
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id().wrapping_mul(613) % 60_000) as u16));
    for _ in 0..SPAN {
        let port = FLOOR + next.fetch_add(1, Ordering::Relaxed) % SPAN;
        if free(port) && free(port + BUS_OFFSET) {
            return port;
        }
    }
    panic!("no free port between {FLOOR} and {}", FLOOR + SPAN);
}

fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// An address on which nobody listens, for tests of refused connections.
pub(crate) fn refused() -> std::net::SocketAddr {
    (Ipv4Addr::LOCALHOST, stable()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let (one, two) = (stable(), stable());
        assert_ne!(one, two);
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, one)).expect("was free");
        assert!(!free(one));
    }
}
