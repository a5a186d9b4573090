//! `X-Twilio-Signature`: proof that a callback comes from Twilio.
//!
//! base64(HMAC-SHA1(auth token, public URL + every POST parameter's name and value)), parameters sorted by name, a
//! name's values sorted and without repeats. A JSON body is not signed itself: the URL carries its SHA-256 in
//! `bodySHA256`. The URL's fragment (connection overrides) takes no part. Source: Twilio's security documentation and
//! the request validators of its SDKs.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

/// What a signed request carries.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// A form's parameters, decoded, in any order; none for a GET or a WebSocket handshake.
    Form(&'a [(String, String)]),
    /// Any other body, covered by `bodySHA256` in the URL.
    Body(&'a [u8]),
}

/// The signature of a request to `url` (the public URL, query included).
#[must_use]
pub fn sign(token: &SecretString, url: &str, params: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in params {
        sorted.entry(name).or_default().insert(value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.update(without_fragment(url).as_bytes());
    for (name, values) in sorted {
        for value in values {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
    }
    BASE64.encode(mac.finalize().into_bytes())
}

/// Whether `signature` is Twilio's for this request. The URL is tried as it is, with and without the scheme's default
/// port, since proxies and Twilio disagree about writing it. Takes the same time wherever a signature differs.
#[must_use]
pub fn verify(token: &SecretString, url: &str, signature: &str, content: Signed<'_>) -> bool {
    let params = match content {
        Signed::Form(params) => params,
        Signed::Body(body) => {
            if !body_matches(url, body) {
                return false;
            }
            &[]
        }
    };
    let mut good = subtle::Choice::from(0);
    for candidate in spellings(without_fragment(url)) {
        good |= sign(token, &candidate, params).as_bytes().ct_eq(signature.as_bytes());
    }
    good.into()
}

fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(before, _)| before)
}

/// Whether the URL's `bodySHA256` is the body's; a URL without one covers no body.
fn body_matches(url: &str, body: &[u8]) -> bool {
    let Some((_, query)) = without_fragment(url).split_once('?') else { return false };
    let Some((_, named)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256")
    else {
        return false;
    };
    let hash = hex::encode(Sha256::digest(body));
    hash.as_bytes().ct_eq(named.to_ascii_lowercase().as_bytes()).into()
}

/// The URL as it is, and with the default port added or removed. Worked on as text: anything that reads and rewrites a
/// URL would change what was signed.
fn spellings(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return all };
    let port = match scheme {
        "https" | "wss" => ":443",
        "http" | "ws" => ":80",
        _ => return all,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = &authority[authority.rfind('@').map_or(0, |at| at + 1)..];
    // A colon inside an IPv6 address is none before a port.
    let has_port = host.rfind(':').is_some_and(|colon| !host[colon..].contains(']'));
    if !has_port {
        all.push(format!("{scheme}://{authority}{port}{tail}"));
    } else if let Some(bare) = authority.strip_suffix(port) {
        all.push(format!("{scheme}://{bare}{tail}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> SecretString {
        SecretString::from("12345")
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn vector() -> Vec<(String, String)> {
        pairs(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ])
    }

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    #[test]
    fn the_published_vector() {
        assert_eq!(sign(&token(), URL, &vector()), SIGNATURE);
        assert!(verify(&token(), URL, SIGNATURE, Signed::Form(&vector())));
    }

    #[test]
    fn what_was_changed_does_not_pass() {
        let params = vector();
        let mut other = params.clone();
        other[1].1 = "1235".to_owned();
        let fewer = &params[1..];
        for (url, signature, params) in [
            (URL, SIGNATURE, &other[..]),
            (URL, SIGNATURE, fewer),
            ("https://mycompany.com/myapp.php?foo=1&bar=3", SIGNATURE, &params[..]),
            ("http://mycompany.com/myapp.php?foo=1&bar=2", SIGNATURE, &params[..]),
            (URL, "", &params[..]),
            (URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8", &params[..]),
            (URL, "rSOYDt4T1cUTdK1PDd93/VVr8B8=", &params[..]),
        ] {
            assert!(!verify(&token(), url, signature, Signed::Form(params)), "{url} {signature}");
        }
        assert!(!verify(&SecretString::from("54321"), URL, SIGNATURE, Signed::Form(&vector())));
    }

    #[test]
    fn the_default_port_may_be_written_or_not() {
        let params = vector();
        let with = sign(&token(), "https://mycompany.com:443/myapp.php?foo=1&bar=2", &params);
        assert!(verify(&token(), URL, &with, Signed::Form(&params)));
        assert!(verify(
            &token(),
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
            SIGNATURE,
            Signed::Form(&params)
        ));
        let other = sign(&token(), "https://mycompany.com:8443/myapp.php?foo=1&bar=2", &params);
        assert!(!verify(&token(), URL, &other, Signed::Form(&params)));
        let plain = sign(&token(), "http://[::1]:80/x", &[]);
        assert!(verify(&token(), "http://[::1]/x", &plain, Signed::Form(&[])));
        let socket = sign(&token(), "wss://example.com/stream", &[]);
        assert!(verify(&token(), "wss://example.com:443/stream", &socket, Signed::Form(&[])));
    }

    #[test]
    fn the_fragment_takes_no_part() {
        let params = vector();
        assert_eq!(sign(&token(), &format!("{URL}#rc=2&rp=all"), &params), SIGNATURE);
        assert!(verify(&token(), &format!("{URL}#rc=2"), SIGNATURE, Signed::Form(&params)));
    }

    #[test]
    fn repeated_names_are_sorted_and_counted_once() {
        let once = sign(&token(), URL, &pairs(&[("a", "1"), ("a", "2")]));
        assert_eq!(sign(&token(), URL, &pairs(&[("a", "2"), ("a", "1"), ("a", "2")])), once);
    }

    #[test]
    fn a_json_body_is_covered_by_its_hash() {
        let body = br#"{"event":"x"}"#;
        let url = format!("https://example.com/hook?bodySHA256={}", hex::encode(Sha256::digest(body)));
        let signature = sign(&token(), &url, &[]);
        assert!(verify(&token(), &url, &signature, Signed::Body(body)));
        assert!(!verify(&token(), &url, &signature, Signed::Body(b"{}")));
        let bare = "https://example.com/hook";
        assert!(!verify(&token(), bare, &sign(&token(), bare, &[]), Signed::Body(body)));
    }
}
