//! The smallest Redis client that does: for tests that look into Redis behind the store's back. RESP2, one command at
//! a time, no reconnecting, so that what it reports is what happened.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A command that takes longer than this is a broken test.
const TIME_OUT: Duration = Duration::from_secs(20);

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// No value.
    Nil,
    /// An integer.
    Int(i64),
    /// A simple or a bulk string, read as UTF-8 with replacements.
    Text(String),
    /// An error, its code first.
    Error(String),
    /// An array.
    List(Vec<Value>),
}

impl Value {
    /// The integer, also where it comes as text; panics otherwise.
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Text(text) => text.parse().unwrap_or_else(|_| panic!("{text:?} is no integer")),
            other => panic!("{other:?} is no integer"),
        }
    }

    /// The text, `None` for nil; panics for anything else.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Nil => None,
            Self::Text(text) => Some(text.clone()),
            Self::Int(n) => Some(n.to_string()),
            other => panic!("{other:?} is no text"),
        }
    }

    /// The array's texts; nil members are left out.
    pub(crate) fn texts(&self) -> Vec<String> {
        match self {
            Self::Nil => Vec::new(),
            Self::List(list) => list.iter().filter_map(Self::text).collect(),
            other => panic!("{other:?} is no array"),
        }
    }

    /// The array as pairs: the answer of `HGETALL`, or of a sorted set `WITHSCORES`.
    pub(crate) fn map(&self) -> BTreeMap<String, String> {
        let texts = self.texts();
        texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

/// One connection.
pub(crate) struct RawRedis {
    stream: BufReader<TcpStream>,
}

impl RawRedis {
    /// Connects.
    ///
    /// # Errors
    /// Whatever the connect says.
    pub(crate) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one command and reads its answer; an error of Redis is [`Value::Error`].
    ///
    /// # Errors
    /// The connection broke, the answer is no RESP, or it took too long.
    pub(crate) async fn try_cmd(&mut self, args: &[&str]) -> io::Result<Value> {
        let mut out = format!("*{}\r\n", args.len());
        for arg in args {
            out.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        tokio::time::timeout(TIME_OUT, async {
            self.stream.get_mut().write_all(out.as_bytes()).await?;
            self.read().await
        })
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// As [`Self::try_cmd`], for tests in which nothing but an answer is expected: panics otherwise.
    pub(crate) async fn cmd(&mut self, args: &[&str]) -> Value {
        match self.try_cmd(args).await {
            Ok(Value::Error(error)) => panic!("{args:?}: {error}"),
            Ok(value) => value,
            Err(error) => panic!("{args:?}: {error}"),
        }
    }

    /// All keys that match `pattern`, sorted. Reads with `SCAN`.
    pub(crate) async fn keys(&mut self, pattern: &str) -> Vec<String> {
        let mut cursor = "0".to_owned();
        let mut keys = Vec::new();
        loop {
            let Value::List(answer) = self.cmd(&["SCAN", &cursor, "MATCH", pattern, "COUNT", "1000"]).await
            else {
                panic!("SCAN did not answer with an array");
            };
            keys.extend(answer[1].texts());
            cursor = answer[0].text().unwrap_or_default();
            if cursor == "0" {
                keys.sort();
                keys.dedup();
                return keys;
            }
        }
    }

    /// One field of `INFO`.
    pub(crate) async fn info(&mut self, field: &str) -> Option<String> {
        let info = self.cmd(&["INFO"]).await.text()?;
        info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|v| v.trim().to_owned())
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn read(&mut self) -> io::Result<Value> {
        let line = self.line().await?;
        let bad = || io::Error::other(format!("no RESP: {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(bad)?;
        match kind {
            "+" => Ok(Value::Text(rest.to_owned())),
            "-" => Ok(Value::Error(rest.to_owned())),
            ":" => rest.parse().map(Value::Int).map_err(|_| bad()),
            "$" => match rest.parse::<i64>().map_err(|_| bad())? {
                -1 => Ok(Value::Nil),
                len => {
                    let mut bytes = vec![0; usize::try_from(len).map_err(|_| bad())? + 2];
                    self.stream.read_exact(&mut bytes).await?;
                    bytes.truncate(bytes.len() - 2);
                    Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
                }
            },
            "*" => match rest.parse::<i64>().map_err(|_| bad())? {
                -1 => Ok(Value::Nil),
                len => {
                    let mut list = Vec::new();
                    for _ in 0..len {
                        list.push(Box::pin(self.read()).await?);
                    }
                    Ok(Value::List(list))
                }
            },
            _ => Err(bad()),
        }
    }
}
