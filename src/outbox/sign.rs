//! Signatures of outgoing webhooks, by the Standard Webhooks specification (symmetric, `v1`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// A key that webhooks are signed with. Shows nothing of itself and is wiped from memory when dropped.
#[derive(Clone)]
pub struct SigningSecret(SecretSlice<u8>);

/// Why a text is no signing secret. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    #[error("must begin with whsec_")]
    Prefix,
    /// What follows `whsec_` is not base64.
    #[error("must be base64 after whsec_")]
    Base64,
    /// The key is shorter or longer than the specification allows.
    #[error("must hold 24 to 64 bytes, holds {0}")]
    Length(usize),
}

impl SigningSecret {
    /// Reads `whsec_` + base64 (padded or not) of 24 to 64 bytes.
    ///
    /// # Errors
    /// Says what is wrong with it, for the message that names the variable.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let key = STANDARD
            .decode(encoded)
            .or_else(|_| STANDARD_NO_PAD.decode(encoded))
            .map_err(|_| SecretError::Base64)?;
        if !(24..=64).contains(&key.len()) {
            return Err(SecretError::Length(key.len()));
        }
        Ok(Self(key.into()))
    }

    /// Reads one or several, separated by commas or spaces: the new one first, the old one until receivers have
    /// changed over.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, SecretError> {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|s| !s.is_empty())
            .map(Self::parse)
            .collect()
    }

    fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// The value of `webhook-signature`: one `v1,…` for each secret, separated by spaces, so that a receiver may hold
/// either while a secret is being rotated. `None` without secrets: an unsigned webhook carries no such header.
#[must_use]
pub fn signature(secrets: &[SigningSecret], id: &str, timestamp_s: u64, body: &[u8]) -> Option<String> {
    let all: Vec<String> = secrets.iter().map(|s| s.sign(id, timestamp_s, body)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the specification's own example; the second is bytes 0 to 31.
    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TWO: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    // Computed with Python's hmac module; the first is also the example of the Standard Webhooks libraries.
    #[test]
    fn vectors_made_elsewhere() {
        let secrets = SigningSecret::parse_list(&format!("{ONE}, {TWO}")).expect("readable");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secrets[..1], id, 1_614_265_330, body).as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        assert_eq!(
            signature(&secrets, "evt_7", 1_700_000_000, "{\"name\":\"Zoë\"}".as_bytes()).as_deref(),
            Some(
                "v1,eRAvZFLC/dtsmTqzRist4wENd0YuYQxjDx135jwBv4k= v1,PDfbN4yNecDkrR6z7F2juEK/tDOPvFB4dz5iJcXK1aM="
            )
        );
        assert_eq!(signature(&[], id, 1, body), None);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let refused = |text: &str| SigningSecret::parse(text).err();
        assert_eq!(refused("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(SecretError::Prefix));
        assert_eq!(refused("whsec_***"), Some(SecretError::Base64));
        assert_eq!(refused("whsec_c2hvcnQ="), Some(SecretError::Length(5)));
        assert_eq!(refused(TWO.trim_end_matches('=')), None);
    }

    #[test]
    fn shows_nothing_of_itself() {
        let secret = SigningSecret::parse(ONE).expect("readable");
        assert_eq!(format!("{secret:?}"), "SigningSecret");
    }
}
