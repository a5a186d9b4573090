//! The bucket of the archive.

use secrecy::{ExposeSecret as _, SecretString};

use super::reader::{Reader, plain_url, secret};
use crate::archive::{ArchiveConfig, Credentials};

/// S3, or a server like it.
#[derive(Clone, Debug)]
pub struct S3Section {
    /// `S3_BUCKET_NAME`.
    pub bucket: String,
    /// `S3_ENDPOINT_URL`; `None` is AWS.
    pub endpoint_url: Option<String>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID` and what belongs to it; `None` asks AWS's own chain.
    pub keys: Option<AccessKeys>,
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
#[derive(Clone, Debug)]
pub struct AccessKeys {
    /// The id. Not a secret by itself, but nobody's business either.
    pub id: SecretString,
    /// The secret.
    pub secret: SecretString,
    /// The token of temporary keys.
    pub session_token: Option<SecretString>,
}

impl S3Section {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let bucket = from.read("S3_BUCKET_NAME", bucket);
        let endpoint_url = from
            .maybe("S3_ENDPOINT_URL", |text| plain_url(text).map(|_| text.trim_end_matches('/').to_owned()));
        let fallback = from.maybe("AWS_DEFAULT_REGION", region);
        let region = match (from.set("AWS_REGION"), fallback) {
            (None, Some(Some(fallback))) => Some(fallback),
            _ => from.read("AWS_REGION", region),
        };
        let id = from.maybe("AWS_ACCESS_KEY_ID", secret(1));
        let key = from.maybe("AWS_SECRET_ACCESS_KEY", secret(1));
        let session_token = from.maybe("AWS_SESSION_TOKEN", secret(1));
        let keys = match (id?, key?, session_token?) {
            (Some(id), Some(secret), session_token) => Some(AccessKeys { id, secret, session_token }),
            (None, None, None) => None,
            (Some(_), None, _) => {
                from.wrong(
                    "AWS_SECRET_ACCESS_KEY",
                    "is not set, but AWS_ACCESS_KEY_ID is: set both or neither",
                );
                return None;
            }
            (None, _, _) => {
                from.wrong("AWS_ACCESS_KEY_ID", "is not set, but its secret or session token is");
                return None;
            }
        };
        Some(Self { bucket: bucket?, endpoint_url: endpoint_url?, region: region?, keys })
    }

    /// What the archive is connected with.
    #[must_use]
    pub fn archive(&self) -> ArchiveConfig {
        let mut config = ArchiveConfig::new(&*self.bucket, &*self.region);
        config.endpoint_url.clone_from(&self.endpoint_url);
        config.credentials = self.keys.as_ref().map(|keys| Credentials {
            access_key: keys.id.expose_secret().to_owned(),
            secret_key: keys.secret.clone(),
            session_token: keys.session_token.clone(),
        });
        config
    }
}

/// S3's rules for new buckets.
fn bucket(text: &str) -> Result<String, String> {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && edge(bytes.first())
        && edge(bytes.last())
        && !text.contains("..");
    if good {
        Ok(text.to_owned())
    } else {
        Err("a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens".to_owned())
    }
}

fn region(text: &str) -> Result<String, String> {
    let good = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good { Ok(text.to_owned()) } else { Err("a region such as eu-central-1".to_owned()) }
}
