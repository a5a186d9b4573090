//! What a Redis server is told, as `MONITOR` shows it: proof of how often something was done, from outside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// One tool call as it was written into a turn's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Journaled {
    pub(crate) call: String,
    /// How many turns of the call were committed before.
    pub(crate) turn: usize,
    pub(crate) tool: String,
    pub(crate) args: String,
}

/// Listens until it is dropped.
pub(crate) struct Monitor {
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Monitor {
    /// Listens to the server at `addr`; what is kept are commands on turns' journals.
    pub(crate) async fn journals(addr: SocketAddr) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(addr).await.expect("redis-server answers"));
        stream.write_all(b"MONITOR\r\n").await.expect("a command is taken");
        let mut first = String::new();
        stream.read_line(&mut first).await.expect("an answer");
        assert_eq!(first.trim(), "+OK");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let reading = tokio::spawn(async move {
            let mut line = String::new();
            while matches!(stream.read_line(&mut line).await, Ok(n) if n > 0) {
                if line.contains(" lua] ") && line.contains("\"JOURNAL:") {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                }
                line.clear();
            }
        });
        Self { lines, reading }
    }

    /// The tool calls journaled so far.
    pub(crate) fn journaled(&self) -> Vec<Journaled> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut turns: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        let mut out = Vec::new();
        for line in lines {
            let words = quoted(&line);
            let [command, key, rest @ ..] = words.as_slice() else { continue };
            let call = key.rsplit(':').next().unwrap_or_default().to_owned();
            match command.to_ascii_uppercase().as_str() {
                "DEL" => *turns.entry(call).or_default() += 1,
                "RPUSH" => {
                    let entry = rest.first().and_then(|e| serde_json::from_str::<serde_json::Value>(e).ok());
                    let Some(entry) = entry else { continue };
                    let turn = turns.get(&call).copied().unwrap_or_default();
                    let tool = entry["call"]["name"].as_str().unwrap_or_default().to_owned();
                    out.push(Journaled { call, turn, tool, args: entry["call"]["args"].to_string() });
                }
                _ => {}
            }
        }
        out
    }

    /// Calls that stand twice in the journal of one turn, as they would if a turn ran twice.
    pub(crate) fn repeated(&self) -> Vec<Journaled> {
        let all = self.journaled();
        all.iter()
            .enumerate()
            .filter(|(i, one)| all[..*i].contains(one))
            .map(|(_, one)| one.clone())
            .collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The quoted words of a line of `MONITOR`, their escapes undone.
fn quoted(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match (&mut open, byte) {
            (None, b'"') => open = Some(Vec::new()),
            (None, _) => {}
            (Some(word), b'"') => {
                words.push(String::from_utf8_lossy(word).into_owned());
                open = None;
            }
            (Some(word), b'\\') => match bytes.next() {
                Some(b'n') => word.push(b'\n'),
                Some(b'r') => word.push(b'\r'),
                Some(b't') => word.push(b'\t'),
                Some(b'x') => {
                    let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                    word.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
                }
                Some(other) => word.push(other),
                None => {}
            },
            (Some(word), other) => word.push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{RedisServer, until};

    #[tokio::test]
    async fn a_journal_is_read_with_its_turns() {
        let server = RedisServer::start().await;
        let monitor = Monitor::journals(server.addr()).await;
        let mut client = server.client().await;
        let entry =
            r#"{"round":0,"call":{"id":"a","name":"record_job","args":{"company":"Müller \"&\" Sons"}}}"#;
        let push = "redis.call('RPUSH', KEYS[1], ARGV[1])";
        for script in [push, push, "redis.call('DEL', KEYS[1])", push] {
            client.cmd(&["EVAL", script, "1", "JOURNAL:{s01}:call_01x", entry]).await;
        }
        until("three entries", std::time::Duration::from_secs(10), || {
            std::future::ready((monitor.journaled().len() == 3).then_some(()))
        })
        .await;
        let all = monitor.journaled();
        assert_eq!((all[0].turn, all[2].turn), (0, 1));
        assert_eq!((all[0].call.as_str(), all[0].tool.as_str()), ("call_01x", "record_job"));
        assert!(all[0].args.contains("Müller"), "{}", all[0].args);
        assert_eq!(monitor.repeated().len(), 1, "twice in the first turn, once in the second");
    }
}
