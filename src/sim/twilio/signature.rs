//! `X-Twilio-Signature`, written a second time on purpose: Carillon's own code must agree with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// Signs a request: base64(HMAC-SHA1(token, URL without its fragment + each name and value, sorted by name, the values of
/// one name sorted and unique)).
pub(crate) fn sign(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut params: Vec<&(String, String)> = form.iter().collect();
    params.sort();
    params.dedup();
    let url = url.split('#').next().unwrap_or(url);
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else {
        return String::new(); // HMAC takes keys of every length
    };
    mac.update(url.as_bytes());
    for (name, value) in params {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector() {
        let form: Vec<(String, String)> = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .to_vec();
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(sign("12345", url, &form), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert_eq!(sign("12345", &format!("{url}#rc=2&rp=all"), &form), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }
}
