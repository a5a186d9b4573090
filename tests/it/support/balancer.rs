//! A round-robin TCP balancer, as before a fleet: each connection goes to the next backend, those that refuse are
//! passed over. It balances connections, not requests: a client that is to change nodes must open a new one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

struct Fleet {
    backends: Vec<(SocketAddr, usize)>,
    next: usize,
}

/// A balancer; ends on drop, its connections with it.
pub(crate) struct Balancer {
    addr: SocketAddr,
    fleet: Arc<Mutex<Fleet>>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    /// Listens on a port of the system's choice.
    pub(crate) async fn start(backends: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let fleet = Arc::new(Mutex::new(Fleet { backends: Vec::new(), next: 0 }));
        let shared = Arc::clone(&fleet);
        let accepting = tokio::spawn(async move {
            let mut wires = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((near, _)) = accepted else { continue };
                        wires.spawn(wire(near, Arc::clone(&shared)));
                    }
                    Some(_) = wires.join_next() => {}
                }
            }
        });
        let balancer = Self { addr, fleet, accepting };
        balancer.set_backends(backends);
        balancer
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The backends from now on; open connections stay where they are. Counts start again.
    pub(crate) fn set_backends(&self, backends: &[SocketAddr]) {
        let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        fleet.backends = backends.iter().map(|&addr| (addr, 0)).collect();
    }

    /// How many connections each backend was given, in the order of the backends.
    pub(crate) fn hits(&self) -> Vec<usize> {
        let fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        fleet.backends.iter().map(|&(_, hits)| hits).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The backends in the order in which this connection shall try them.
fn turn(fleet: &Mutex<Fleet>) -> Vec<SocketAddr> {
    let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
    let first = fleet.next;
    fleet.next = first.wrapping_add(1);
    let count = fleet.backends.len();
    (0..count).map(|step| fleet.backends[(first % count + step) % count].0).collect()
}

async fn wire(mut near: TcpStream, fleet: Arc<Mutex<Fleet>>) {
    for backend in turn(&fleet) {
        let Ok(mut far) = TcpStream::connect(backend).await else { continue };
        {
            let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = fleet.backends.iter_mut().find(|(addr, _)| *addr == backend) {
                entry.1 += 1;
            }
        }
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{RawRedis, RedisServer, ports};

    #[tokio::test]
    async fn connections_go_round_and_pass_over_the_dead() {
        let (one, two) = tokio::join!(RedisServer::start(), RedisServer::start());
        let balancer = Balancer::start(&[one.addr(), ports::refused(), two.addr()]).await;
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..6 {
            let mut client = RawRedis::connect(balancer.addr()).await.expect("someone lives");
            *seen.entry(client.info("process_id").await.expect("its id")).or_default() += 1;
        }
        assert_eq!(seen.len(), 2, "both are used: {seen:?}");
        assert_eq!(balancer.hits()[1], 0);
        assert_eq!(balancer.hits().iter().sum::<usize>(), 6);
        balancer.set_backends(&[two.addr()]);
        RawRedis::connect(balancer.addr()).await.expect("one lives").cmd(&["PING"]).await;
        assert_eq!(balancer.hits(), [1]);
    }
}
