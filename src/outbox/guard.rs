//! Where a webhook may go: the guard against server-side request forgery.
//!
//! Two doors. [`check_url_shape`] is for intake: it judges what is written, without DNS. [`Guard`] is the resolver of the
//! HTTP client itself: the addresses it has checked are the ones that get connected to, so a name that answers
//! differently the second time (DNS rebinding) gains nothing.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The longest URL that is accepted, in bytes.
pub const MAX_URL: usize = 2_048;
/// How long a name may take to resolve. The request's own time-out covers it too.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a URL or an address is refused. The text is fit for an API answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL at all, or too long for one.
    #[error("is not an absolute URL of at most {MAX_URL} bytes")]
    NotAUrl,
    /// Neither http nor https.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// A user name or password in the URL.
    #[error("must not carry a user name or password")]
    Userinfo,
    /// A host name that stands for the inside.
    #[error("points to an internal host name")]
    InternalName,
    /// An address that is not on the public internet.
    #[error("points to {0}")]
    Address(&'static str),
}

/// How far inside an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    /// Inside, and an operator may allow that.
    Inside(&'static str),
    /// Never a receiver of webhooks.
    Never(&'static str),
}

/// Judges a webhook's URL by what is written in it: scheme, user part, host name, literal address in any notation.
/// Any port is allowed. `allow_private` lets loopback and private networks pass, cloud metadata services never.
///
/// # Errors
/// The first reason to refuse it.
pub fn check_url_shape(url: &str, allow_private: bool) -> Result<Url, Refused> {
    // The parser drops line breaks and tabs, so that what is read is not what stands there.
    if url.len() > MAX_URL || url.chars().any(char::is_control) {
        return Err(Refused::NotAUrl);
    }
    let parsed = Url::parse(url).map_err(|_| Refused::NotAUrl)?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Refused::Scheme);
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(Refused::Userinfo);
    }
    // The parser has turned octal, hexadecimal and one-number notations into an address already.
    match parsed.host().ok_or(Refused::NotAUrl)? {
        Host::Ipv4(ip) => check_address(IpAddr::V4(ip), allow_private)?,
        Host::Ipv6(ip) => check_address(IpAddr::V6(ip), allow_private)?,
        Host::Domain(name) => check_name(name, allow_private)?,
    }
    Ok(parsed)
}

/// Names of cloud metadata services; whatever they resolve to, nobody's webhook lives there.
const METADATA: [&str; 4] = ["metadata.google.internal", "metadata.goog", "instance-data", "metadata"];
const INSIDE: [&str; 5] = ["localhost", "local", "internal", "localdomain", "home.arpa"];

fn check_name(name: &str, allow_private: bool) -> Result<(), Refused> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let within = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|head| head.ends_with('.'));
    if name.is_empty() || METADATA.iter().any(|zone| within(zone)) {
        return Err(Refused::InternalName);
    }
    if !allow_private && INSIDE.iter().any(|zone| within(zone)) {
        return Err(Refused::InternalName);
    }
    Ok(())
}

/// Judges one address.
///
/// # Errors
/// With the kind of address it is, where it may not be connected to.
pub fn check_address(ip: IpAddr, allow_private: bool) -> Result<(), Refused> {
    let reach = match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    };
    match reach {
        Reach::Public => Ok(()),
        Reach::Inside(_) if allow_private => Ok(()),
        Reach::Inside(kind) | Reach::Never(kind) => Err(Refused::Address(kind)),
    }
}

/// IANA's special-purpose registry for IPv4, and the metadata addresses of the clouds.
fn reach_v4(ip: Ipv4Addr) -> Reach {
    const METADATA: &str = "a cloud metadata service";
    match ip.octets() {
        // AWS, Google and Azure; AWS task roles; Alibaba; Azure's host agent.
        [169, 254, 169, 254] | [169, 254, 170, 2] | [100, 100, 100, 200] | [168, 63, 129, 16] => {
            Reach::Never(METADATA)
        }
        // Clouds keep adding services there (credentials of pods, the clock, the resolver); nobody's webhook is among them.
        [169, 254, ..] => Reach::Never("a link-local address"),
        [0, ..] => Reach::Never("an unspecified address"),
        [127, ..] => Reach::Inside("a loopback address"),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Reach::Inside("a private address"),
        [100, 64..=127, ..] => Reach::Inside("a carrier-grade NAT address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Never("a documentation address"),
        [192, 0, 0, _] => Reach::Never("a protocol assignment address"),
        [192, 88, 99, _] => Reach::Never("a 6to4 relay address"),
        [198, 18..=19, ..] => Reach::Never("a benchmarking address"),
        [224..=239, ..] => Reach::Never("a multicast address"),
        [240..=255, ..] => Reach::Never("a reserved address"),
        _ => Reach::Public,
    }
}

/// Only 2000::/3 is the public internet; forms that carry an IPv4 address are judged by it.
fn reach_v6(ip: Ipv6Addr) -> Reach {
    let s = ip.segments();
    let [a, b, c, d] = [(s[6] >> 8) as u8, s[6] as u8, (s[7] >> 8) as u8, s[7] as u8];
    let embedded = || reach_v4(Ipv4Addr::new(a, b, c, d));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Inside("a loopback address"),
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(),
        [0, 0, 0, 0, 0, 0, ..] => Reach::Never("an IPv4-compatible address"),
        [0x64, 0xff9b, 1, ..] => Reach::Inside("a private NAT64 address"),
        // AWS's services for its machines over IPv6, metadata and credentials among them; Google's metadata.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] => Reach::Never("a cloud metadata service"),
        [0xfc00..=0xfdff, ..] => Reach::Inside("a unique local address"),
        [0xfe80..=0xfebf, ..] => Reach::Never("a link-local address"),
        [0xff00..=0xffff, ..] => Reach::Never("a multicast address"),
        [0x2001, 0, ..] => Reach::Never("a Teredo address"),
        [0x2001, 0..=0x1ff, ..] => Reach::Never("a protocol assignment address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never("a documentation address"),
        [0x2002, ..] => Reach::Never("a 6to4 address"),
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never("a reserved address"),
    }
}

type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
type Lookup = Arc<dyn Fn(String) -> Looking + Send + Sync>;

/// Resolves names for the HTTP client and hands on checked addresses only.
#[derive(Clone)]
pub struct Guard {
    allow_private: bool,
    lookup: Lookup,
}

impl Guard {
    /// A guard that asks the system's resolver.
    #[must_use]
    pub fn new(allow_private: bool) -> Self {
        Self::with_lookup(allow_private, |name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|a| a.ip()).collect()) })
        })
    }

    /// A guard that asks `lookup` instead.
    #[must_use]
    pub(crate) fn with_lookup(
        allow_private: bool,
        lookup: impl Fn(String) -> Looking + Send + Sync + 'static,
    ) -> Self {
        Self { allow_private, lookup: Arc::new(lookup) }
    }

    /// Whether loopback and private networks may be reached.
    #[must_use]
    pub fn allow_private(&self) -> bool {
        self.allow_private
    }

    /// The addresses of `host`, all of them checked. One forbidden address among them condemns the name: a receiver
    /// on the internet has no reason to publish one.
    ///
    /// # Errors
    /// [`Refused`] inside an `io::Error` of kind `PermissionDenied`, or the resolver's own error.
    pub async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let refused = |why: Refused| io::Error::new(io::ErrorKind::PermissionDenied, why);
        check_name(host, self.allow_private).map_err(refused)?;
        let found = tokio::time::timeout(DNS_TIMEOUT, (self.lookup)(host.to_owned()))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the name did not resolve in time"))??;
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        for ip in &found {
            check_address(*ip, self.allow_private).map_err(refused)?;
        }
        Ok(found)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = Self::resolve(&guard, name.as_str()).await?;
            // Port 0: the client puts the URL's in its place.
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_inside_is_refused_in_every_notation() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1:8080/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://printer.local/",
            "http://db.internal/",
            "http://0.0.0.0/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://168.63.129.16/",
            "http://metadata.google.internal/",
            "http://192.0.2.1/",
            "http://198.18.0.1/",
            "http://203.0.113.9/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a00:1]/",
            "http://[::7f00:1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[64:ff9b:1::1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001:0:4136:e378::1]/",
            "http://[2001:db8::1]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fc00::1]/",
            "http://[ff02::1]/",
            "http://[100::1]/",
            "http://①②⑦.0.0.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://017700000001/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://%31%32%37.0.0.1/",
            "http://127.0.0.1\\@example.com/",
            "http://１２７.0.0.1/",
            "http://localhost%2e/",
            "http://x.LOCALHOST/",
            "http://169.254.1.1/",
            "http://169.254.170.23/v1/credentials",
            "http://2852039166/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[0:0:0:0:0:ffff:169.254.169.254]/",
            "http://[::ffff:0:127.0.0.1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fd20:ce::254]/",
            "http://[fd00:ec2::23]/",
            "http://[febf::1]/",
            "http://metadata/computeMetadata/v1/",
            "http://instance-data/latest/",
        ] {
            let why = check_url_shape(url, false);
            assert!(matches!(why, Err(Refused::Address(_) | Refused::InternalName)), "{url}: {why:?}");
        }
    }

    #[test]
    fn what_lies_on_the_internet_passes() {
        for url in [
            "https://example.com/hook?a=b",
            "http://93.184.216.34:9000/",
            "http://172.32.0.1/",
            "http://100.128.0.1/",
            "https://[2606:2800:220:1::1]/",
            "http://[64:ff9b::5db8:d822]/",
            "https://localhost.example.com/",
            "https://notlocal/",
        ] {
            assert!(check_url_shape(url, false).is_ok(), "{url}: {:?}", check_url_shape(url, false));
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for (url, why) in [
            ("", Refused::NotAUrl),
            ("hook", Refused::NotAUrl),
            ("http://", Refused::NotAUrl),
            ("ftp://example.com/", Refused::Scheme),
            ("file:///etc/passwd", Refused::Scheme),
            ("javascript:alert(1)", Refused::Scheme),
            ("https://user@example.com/", Refused::Userinfo),
            ("https://:pw@example.com/", Refused::Userinfo),
            ("https://example.com@127.0.0.1/", Refused::Userinfo),
            ("http://example.com/\r\nHost: inside", Refused::NotAUrl),
            ("ht\ttp://127.0.0.1/", Refused::NotAUrl),
            ("http://a b/", Refused::NotAUrl),
            ("//127.0.0.1/", Refused::NotAUrl),
            ("gopher://127.0.0.1:6379/_FLUSHALL", Refused::Scheme),
            ("redis://127.0.0.1/", Refused::Scheme),
            ("data:text/plain,x", Refused::Scheme),
            ("blob:http://127.0.0.1/", Refused::Scheme),
        ] {
            assert_eq!(check_url_shape(url, true), Err(why), "{url}");
        }
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        assert_eq!(check_url_shape(&long, false), Err(Refused::NotAUrl));
    }

    #[test]
    fn an_operator_may_allow_the_inside_but_not_metadata() {
        for url in ["http://127.0.0.1:8080/", "http://localhost/", "http://10.0.0.1/", "http://[::1]/"] {
            assert!(check_url_shape(url, true).is_ok(), "{url}");
        }
        for url in [
            "http://169.254.169.254/",
            "http://169.254.170.23/",
            "http://metadata.google.internal/",
            "http://[fd00:ec2::254]/",
            "http://[fd20:ce::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://0.0.0.0/",
        ] {
            assert!(check_url_shape(url, true).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn one_forbidden_address_condemns_a_name() {
        let guard = Guard::with_lookup(false, |_| {
            Box::pin(async { Ok(vec![IpAddr::from([93, 184, 216, 34]), IpAddr::from([10, 0, 0, 1])]) })
        });
        let error = guard.resolve("mixed.example").await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "points to a private address");
    }
}
