//! Where this node listens, under which public name, and who may ask it.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret as _, SecretString};

use super::reader::{Reader, is_loopback, plain_url, secret, whole};

/// The shortest API key that may guard calls to real people, in characters.
const SHORTEST_KEY: usize = 16;
/// The longest `BASE_URL`: callback URLs grow from it, and Twilio takes 4,000 characters.
const LONGEST_BASE: usize = 500;

/// The HTTP side of a node.
#[derive(Clone, Debug)]
pub struct ApiSection {
    /// `BIND_ADDR`; loopback where the API is served without keys.
    pub bind_addr: SocketAddr,
    /// `BASE_URL`, exactly as written (Twilio signs over it), without a slash at the end.
    pub base_url: String,
    /// `API_KEYS`; empty: the API is open, on loopback alone.
    pub keys: Vec<SecretString>,
    /// `RATE_LIMIT_PER_SECOND`: per key; 0 means no limit.
    pub rate_limit: u32,
}

impl ApiSection {
    pub(super) fn read(from: &mut Reader<'_>, serves: bool, real_carrier: bool) -> Option<Self> {
        let bind_addr = from.read("BIND_ADDR", bind_addr);
        let keys = from.maybe("API_KEYS", |text| keys(text, if real_carrier { SHORTEST_KEY } else { 1 }));
        if let Some(Some(keys)) = &keys
            && keys.iter().any(|key| key.expose_secret().chars().count() < SHORTEST_KEY)
        {
            from.warn(
                "API_KEYS",
                format!("has a key shorter than {SHORTEST_KEY} characters: good for a rehearsal alone"),
            );
        }
        if let (true, Some(at), Some(None)) = (serves, bind_addr, &keys)
            && !at.ip().to_canonical().is_loopback()
        {
            from.wrong(
                "BIND_ADDR",
                format!("is {at}, which others can reach, and API_KEYS is not set: set API_KEYS, or bind 127.0.0.1"),
            );
        }
        let base = from.read_quiet("BASE_URL", |text| base_url(text, real_carrier));
        if let (true, Some((_, true))) = (real_carrier, &base) {
            from.warn(
                "BASE_URL",
                "is on this machine, where Twilio cannot reach it: callbacks will not arrive",
            );
        }
        let rate_limit = from.read("RATE_LIMIT_PER_SECOND", whole(0, 1_000_000));
        Some(Self {
            bind_addr: bind_addr?,
            base_url: base?.0,
            keys: keys?.unwrap_or_default(),
            rate_limit: rate_limit?,
        })
    }
}

fn bind_addr(text: &str) -> Result<SocketAddr, String> {
    // A name would have to be looked up, and might mean another machine tomorrow; this one cannot.
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| "an IP address and port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn keys(text: &str, shortest: usize) -> Result<Vec<SecretString>, String> {
    let keys = text
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .map(|key| secret(shortest)(key).map_err(|why| format!("keys separated by commas, each {why}")))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err("keys separated by commas".to_owned());
    }
    if keys.iter().any(|key| !key.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
        return Err("keys of plain ASCII characters, as an HTTP header can carry them".to_owned());
    }
    if keys.iter().map(|key| key.expose_secret()).collect::<HashSet<_>>().len() < keys.len() {
        return Err("keys that differ from each other".to_owned());
    }
    Ok(keys)
}

/// The URL as written, and whether it stays on this machine.
fn base_url(text: &str, real_carrier: bool) -> Result<(String, bool), String> {
    let url = plain_url(text)?;
    if text.ends_with('/') {
        return Err(
            "no slash at the end: Twilio signs over exactly this text and the path behind it".to_owned()
        );
    }
    if text.len() > LONGEST_BASE {
        return Err(format!("at most {LONGEST_BASE} characters"));
    }
    let local = is_loopback(&url);
    if url.scheme() == "http" && real_carrier && !local {
        return Err("https://: what the callee says passes here".to_owned());
    }
    Ok((text.to_owned(), local))
}
