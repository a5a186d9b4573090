//! Fuzz target of what clients and operators write about webhooks: their URL, the keys they are signed with.

use std::net::IpAddr;

use url::{Host, Url};

use crate::base::fuzz::texts;
use crate::outbox::guard::check_url_shape;
use crate::outbox::sign::{SigningSecret, signature};

/// A URL that passes the guard leads, as far as it can be seen, to the outside; read again it is the same one.
pub(crate) fn webhook_url(data: &[u8]) {
    let mut parts = texts(data);
    let text = parts.next().unwrap_or_default();
    if let Ok(url) = check_url_shape(&text, false) {
        assert!(matches!(url.scheme(), "http" | "https"), "{url}");
        assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        let again = Url::parse(url.as_str()).unwrap_or_else(|why| panic!("{url}: {why}"));
        assert_eq!(again.host(), url.host(), "another host when it is read again");
        match again.host() {
            Some(Host::Ipv4(ip)) => outside(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => {
                outside(IpAddr::V6(ip));
                outside(ip.to_canonical());
            }
            // A name that is an address in some other notation would be connected to without being looked up.
            Some(Host::Domain(name)) => {
                assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "{name}");
                assert_ne!(name.trim_end_matches('.').rsplit('.').next(), Some("localhost"), "{name}");
            }
            None => panic!("no host in {url}"),
        }
        assert!(
            check_url_shape(url.as_str(), true).is_ok(),
            "allowed outside, refused where more is allowed"
        );
    }
    for text in parts {
        if let Ok(secrets) = SigningSecret::parse_list(&text) {
            let signed = signature(&secrets, "evt", 1, b"{}");
            assert_eq!(signed.map_or(0, |all| all.split(' ').count()), secrets.len());
        } else {
            let why = SigningSecret::parse(&text).err().map_or_else(String::new, |why| why.to_string());
            // A sentence that is always the same, and a count at most.
            let sentence = why.trim_end_matches(|c: char| c.is_ascii_digit());
            assert!(SENTENCES.contains(&sentence), "an error quotes a secret");
        }
    }
}

/// All that is said of a key that cannot be read.
const SENTENCES: [&str; 4] =
    ["", "must begin with whsec_", "must be base64 after whsec_", "must hold 24 to 64 bytes, holds "];

fn outside(ip: IpAddr) {
    let inside = match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
        }
    };
    assert!(!inside, "{ip} passes");
}
