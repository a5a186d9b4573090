//! Fuzz target of Twilio's callbacks: the form, its signature, the query of our own URL.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::carrier::twilio::signature::{Signed, sign, verify};
use crate::carrier::twilio::urls::WebhookQuery;
use crate::carrier::twilio::wire::CallbackForm;

/// An input is a URL, a byte 0xFF and a body. Whatever they are, what the token's holder signs is accepted, and nothing
/// that differs in token, parameters or body.
pub(crate) fn callback(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == 0xFF).unwrap_or(data.len());
    let url = String::from_utf8_lossy(&data[..cut]).into_owned();
    let body = data.get(cut + 1..).unwrap_or_default();
    let (token, other) = (SecretString::from("12345"), SecretString::from("12346"));

    let form = CallbackForm::parse(body);
    let signature = sign(&token, &url, &form.params);
    assert!(verify(&token, &url, &signature, Signed::Form(&form.params)), "what was signed does not pass");
    assert!(!verify(&other, &url, &signature, Signed::Form(&form.params)), "another's token passes");
    assert!(!verify(&token, &url, &url, Signed::Form(&form.params)), "a signature was guessed");
    let mut more = form.params.clone();
    more.push(("To".into(), "+14155550199".into()));
    // A pair that is there already counts once: that is Twilio's rule.
    if !form.params.contains(&more[more.len() - 1]) {
        assert!(!verify(&token, &url, &signature, Signed::Form(&more)), "a parameter was added unseen");
    }

    let with_hash = format!("https://x.test/h?bodySHA256={}", hex::encode(Sha256::digest(body)));
    let signature = sign(&token, &with_hash, &[]);
    assert!(verify(&token, &with_hash, &signature, Signed::Body(body)));
    let mut changed = body.to_vec();
    changed.push(b'x');
    assert!(!verify(&token, &with_hash, &signature, Signed::Body(&changed)), "a body was changed unseen");

    assert!(form.confidence.is_none_or(|c| (0.0..=1.0).contains(&c)), "{:?}", form.confidence);
    assert_eq!(form.params, CallbackForm::from_params(form.params.clone()).params);
    let shown = format!("{form:?}");
    for private in [&form.to, &form.from, &form.speech_result, &form.digits].into_iter().flatten() {
        // Shorter ones may stand in any word.
        assert!(private.len() < 12 || !shown.contains(private.as_str()), "{shown} holds {private:?}");
    }
    let _ = form.provider_code();
    let query = url.split_once('?').map(|(_, query)| query);
    if let Some(query) = WebhookQuery::parse(query) {
        assert!(
            serde_urlencoded::to_string(&query).ok().and_then(|text| WebhookQuery::parse(Some(&text)))
                == Some(query)
        );
    }
}
