//! Requests as Twilio would send them: forms with its signature, made by code of our own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// The signature of a form posted to `url`.
pub(super) fn sign(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = form.iter().collect();
    sorted.sort();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("any key will do");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Posts `form` to the node at `base`, signed for `url`, which is the public one. Status and body.
pub(super) async fn post(base: &str, url: &str, form: &[(String, String)], token: &str) -> (u16, String) {
    let public = url.split('#').next().unwrap_or(url);
    send(base, public, form, Some(&sign(token, public, form))).await
}

/// The same with any signature, or none.
pub(super) async fn send(
    base: &str,
    url: &str,
    form: &[(String, String)],
    signature: Option<&str>,
) -> (u16, String) {
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut request = crate::support::http().post(format!("{base}/{path}")).form(form);
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    let answer = request.send().await.expect("the node answers");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// The URL that a document's `<Gather>` sends the answer to.
pub(super) fn action(document: &str) -> Option<String> {
    let rest = document.split_once("action=\"")?.1;
    Some(rest.split_once('"')?.0.replace("&amp;", "&"))
}

#[test]
fn the_vendors_vector() {
    let form = [("CallSid", "CA1234567890ABCDE"), ("Digits", "1234"), ("From", "+14158675309")]
        .into_iter()
        .chain([("To", "+18005551212"), ("Caller", "+14158675309")])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect::<Vec<_>>();
    let signature = sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", &form);
    assert_eq!(signature, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
}
