//! A TCP proxy with switches: a wire that can be cut, slowed, made to swallow everything, or to lose an answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections are accepted and closed at once.
    Cut,
    /// Connections stay, nothing passes; what was sent passes later, as over a healed network.
    Blackhole,
    /// Requests pass; the first byte of an answer closes the connection instead.
    LoseAnswers,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    mode: Mode,
    delay: Duration,
    /// Raised by a cut: connections of an older generation are closed.
    generation: u64,
}

/// Why a direction stopped without an orderly end.
struct Broken;

/// A proxy before one server; ends on drop, its connections with it.
pub(crate) struct TcpProxy {
    addr: SocketAddr,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Listens on a port of the system's choice and passes everything on to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (line, seen) = watch::channel(Line { mode: Mode::Open, delay: Duration::ZERO, generation: 0 });
        let accepting = tokio::spawn(async move {
            let mut wires = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((near, _)) = accepted else { continue };
                        wires.spawn(wire(near, upstream, seen.clone()));
                    }
                    Some(_) = wires.join_next() => {}
                }
            }
        });
        Self { addr, line, accepting }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes every connection, and each new one at once, until [`Self::heal`].
    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| {
            line.mode = Mode::Cut;
            line.generation += 1;
        });
    }

    /// Closes the connections there are; new ones pass.
    pub(crate) fn drop_connections(&self) {
        self.line.send_modify(|line| line.generation += 1);
    }

    /// Lets nothing through, and closes nothing, until [`Self::heal`].
    pub(crate) fn blackhole(&self) {
        self.line.send_modify(|line| line.mode = Mode::Blackhole);
    }

    /// Lets requests through and closes the connection in place of the answer, until [`Self::heal`]: what was asked is
    /// done, and nobody is told.
    pub(crate) fn lose_answers(&self) {
        self.line.send_modify(|line| line.mode = Mode::LoseAnswers);
    }

    /// Holds every piece of data back for so long, in each direction.
    pub(crate) fn delay(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    /// Everything passes again, at once.
    pub(crate) fn heal(&self) {
        self.line.send_modify(|line| {
            line.mode = Mode::Open;
            line.delay = Duration::ZERO;
        });
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn wire(near: TcpStream, upstream: SocketAddr, line: watch::Receiver<Line>) {
    let born = *line.borrow();
    if born.mode == Mode::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(upstream).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let asked = pass(&mut near_in, &mut far_out, line.clone(), born.generation, false);
    let answered = pass(&mut far_in, &mut near_out, line, born.generation, true);
    // One broken direction ends both; an orderly end lets the other finish.
    let _ = tokio::try_join!(asked, answered);
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    line: watch::Receiver<Line>,
    born: u64,
    answers: bool,
) -> Result<(), Broken> {
    let mut cut = line.clone();
    let pump = async {
        let mut line = line;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await.map_err(|_| Broken)?;
            let now = *line.wait_for(|line| line.mode != Mode::Blackhole).await.map_err(|_| Broken)?;
            if read == 0 {
                return to.shutdown().await.map_err(|_| Broken);
            }
            if !now.delay.is_zero() {
                tokio::time::sleep(now.delay).await;
            }
            if answers && now.mode == Mode::LoseAnswers {
                return Err(Broken);
            }
            to.write_all(&buffer[..read]).await.map_err(|_| Broken)?;
        }
    };
    tokio::select! {
        done = pump => done,
        _ = cut.wait_for(|line| line.generation != born) => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{RawRedis, RedisServer};

    const SHORT: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn each_switch_does_what_it_says() {
        let server = RedisServer::start().await;
        let proxy = TcpProxy::start(server.addr()).await;
        let mut client = RawRedis::connect(proxy.addr()).await.expect("through the proxy");
        client.cmd(&["SET", "n", "0"]).await;

        proxy.delay(SHORT);
        let before = tokio::time::Instant::now();
        client.cmd(&["PING"]).await;
        assert!(before.elapsed() >= 2 * SHORT, "both directions are slow");

        proxy.heal();
        proxy.blackhole();
        let mut waiting = Box::pin(client.cmd(&["INCR", "n"]));
        assert!(tokio::time::timeout(SHORT, &mut waiting).await.is_err(), "swallowed");
        proxy.heal();
        assert_eq!(waiting.await.int(), 1, "passes once healed");

        proxy.lose_answers();
        assert!(client.try_cmd(&["INCR", "n"]).await.is_err(), "the answer is lost");
        proxy.heal();
        let mut client = RawRedis::connect(proxy.addr()).await.expect("healed");
        assert_eq!(client.cmd(&["GET", "n"]).await.int(), 2, "yet it was done");

        proxy.cut();
        assert!(client.try_cmd(&["PING"]).await.is_err(), "cut");
        let refused = match RawRedis::connect(proxy.addr()).await {
            Ok(mut fresh) => fresh.try_cmd(&["PING"]).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "cut for new ones too");
        proxy.heal();
        let mut client = RawRedis::connect(proxy.addr()).await.expect("healed");
        // Answered once, so that it is no longer on its way in.
        client.cmd(&["PING"]).await;
        proxy.drop_connections();
        assert!(client.try_cmd(&["PING"]).await.is_err(), "dropped once");
        let mut client = RawRedis::connect(proxy.addr()).await.expect("new ones pass");
        client.cmd(&["PING"]).await;
    }
}
