//! How results leave: signatures, patience, where they may go.

use std::time::Duration;

use secrecy::SecretString;

use super::reader::{Reader, flag, seconds, whole};
use crate::outbox::deliver::DeliverConfig;
use crate::outbox::guard::{Refused, check_url_shape};
use crate::outbox::sign::SigningSecret;

/// Webhooks.
#[derive(Clone, Debug)]
pub struct WebhookSection {
    /// `DEFAULT_WEBHOOK_URL`. Kept as a secret, since such URLs often carry a token.
    pub default_url: Option<SecretString>,
    /// `WEBHOOK_SIGNING_SECRET`; at least one in every role that sends.
    pub secrets: Vec<SigningSecret>,
    /// `WEBHOOK_TIMEOUT`.
    pub timeout: Duration,
    /// `WEBHOOK_MAX_RETRIES`: repeats after the first attempt.
    pub max_retries: u32,
    /// `WEBHOOK_BATCH_SIZE`.
    pub batch_size: usize,
    /// `WEBHOOK_PROCESS_INTERVAL`: a ceiling, new events leave at once.
    pub process_interval: Duration,
    /// `OUTBOX_MAX_BACKLOG`: more events that wait hold all dials, until half of them are gone.
    pub max_backlog: u64,
    /// `WEBHOOK_ALLOW_PRIVATE`.
    pub allow_private: bool,
}

impl WebhookSection {
    pub(super) fn read(from: &mut Reader<'_>, sends: bool) -> Option<Self> {
        let allow_private = from.read("WEBHOOK_ALLOW_PRIVATE", flag);
        let default_url = from.maybe("DEFAULT_WEBHOOK_URL", |text| {
            // Where the switch itself cannot be read, the address is not blamed for it.
            check_url_shape(text, allow_private.unwrap_or(true)).map_err(|why| refusal(&why))?;
            Ok(SecretString::from(text))
        });
        let secrets = from.needed("WEBHOOK_SIGNING_SECRET", sends, |text| {
            let secrets =
                SigningSecret::parse_list(text).map_err(|why| format!("whsec_ and base64: each {why}"))?;
            if secrets.is_empty() { Err("whsec_ and base64".to_owned()) } else { Ok(secrets) }
        });
        let timeout = from.read("WEBHOOK_TIMEOUT", seconds(1.0, 120.0));
        let max_retries = from.read("WEBHOOK_MAX_RETRIES", whole(0, 100));
        let batch_size = from.read("WEBHOOK_BATCH_SIZE", whole(1, 1_000));
        let process_interval = from.read("WEBHOOK_PROCESS_INTERVAL", seconds(0.1, 3_600.0));
        let max_backlog = from.read("OUTBOX_MAX_BACKLOG", whole(1, 100_000_000));
        Some(Self {
            default_url: default_url?,
            secrets: secrets?.unwrap_or_default(),
            timeout: timeout?,
            max_retries: max_retries?,
            batch_size: batch_size?,
            process_interval: process_interval?,
            max_backlog: max_backlog?,
            allow_private: allow_private?,
        })
    }

    /// What the deliverer is made with.
    #[must_use]
    pub fn deliver(&self) -> DeliverConfig {
        DeliverConfig {
            timeout: self.timeout,
            allow_private: self.allow_private,
            secrets: self.secrets.clone(),
        }
    }
}

fn refusal(why: &Refused) -> String {
    let inside = matches!(why, Refused::InternalName | Refused::Address(_));
    let hint = if inside { "; WEBHOOK_ALLOW_PRIVATE=true allows private networks" } else { "" };
    format!("a public http:// or https:// URL: it {why}{hint}")
}
