//! Where the model is and how long we wait for it.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::error::ModelError;

/// Whose dialect of chat completions is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// `{base}/v1/chat/completions`, bearer key, the model named in the body.
    OpenAi,
    /// `{endpoint}/openai/deployments/{deployment}/chat/completions`, `api-key` header, the deployment in the path.
    Azure,
}

/// How to reach the model. Its `Debug` hides the key.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// The dialect.
    pub flavor: Flavor,
    /// `https://api.openai.com`, with or without `/v1`; for Azure the resource's endpoint.
    pub base_url: String,
    /// The API key.
    pub api_key: SecretString,
    /// The model's name; for Azure the deployment's.
    pub model: String,
    /// Azure's `api-version`; not used by OpenAI.
    pub api_version: String,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time from sending to the first word or tool call of an answer, and the longest pause within it.
    pub first_token_timeout: Duration,
    /// Time for a whole answer, the one retry included.
    pub total_timeout: Duration,
}

/// The two addresses a model is asked at.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    pub(super) completions: Url,
    pub(super) models: Url,
}

impl ModelConfig {
    /// The addresses, made once. A path that already holds a version segment (`/v1`, `/v1beta/openai`) is taken as it is.
    pub(super) fn endpoints(&self) -> Result<Endpoints, ModelError> {
        let base = Url::parse(self.base_url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or(ModelError::Rejected { status: 0, code: "base_url".to_owned() })?;
        match self.flavor {
            Flavor::OpenAi => {
                let versioned = base.path().split('/').any(is_version);
                let root: &[&str] = if versioned { &[] } else { &["v1"] };
                Ok(Endpoints {
                    completions: join(&base, root, &["chat", "completions"]),
                    models: join(&base, root, &["models"]),
                })
            }
            Flavor::Azure => {
                // Operators paste the endpoint with and without its `/openai`.
                let rooted = base.path().split('/').any(|s| s == "openai");
                let root: &[&str] = if rooted { &[] } else { &["openai"] };
                let mut completions = join(&base, root, &["deployments", &self.model, "chat", "completions"]);
                let mut models = join(&base, root, &["models"]);
                for url in [&mut completions, &mut models] {
                    url.query_pairs_mut().append_pair("api-version", &self.api_version);
                }
                Ok(Endpoints { completions, models })
            }
        }
    }
}

fn is_version(segment: &str) -> bool {
    let mut chars = segment.chars();
    chars.next() == Some('v') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

fn join(base: &Url, root: &[&str], rest: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(root).extend(rest);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flavor: Flavor, base_url: &str) -> ModelConfig {
        ModelConfig {
            flavor,
            base_url: base_url.to_owned(),
            api_key: SecretString::from("sk-very-secret"),
            model: "gpt-x".to_owned(),
            api_version: "2024-10-21".to_owned(),
            connect_timeout: Duration::from_secs(1),
            first_token_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_base_url_is_accepted_in_every_usual_form() {
        for (flavor, base, wanted) in [
            (Flavor::OpenAi, "https://a.test", "https://a.test/v1/chat/completions"),
            (Flavor::OpenAi, "https://a.test/", "https://a.test/v1/chat/completions"),
            (Flavor::OpenAi, "https://a.test/v1", "https://a.test/v1/chat/completions"),
            (Flavor::OpenAi, "https://a.test/v1/", "https://a.test/v1/chat/completions"),
            (Flavor::OpenAi, "http://h:1/proxy", "http://h:1/proxy/v1/chat/completions"),
            (Flavor::OpenAi, "https://g.test/v1beta/openai", "https://g.test/v1beta/openai/chat/completions"),
            (
                Flavor::Azure,
                "https://r.openai.azure.com/",
                "https://r.openai.azure.com/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21",
            ),
            (
                Flavor::Azure,
                "https://r.openai.azure.com/openai",
                "https://r.openai.azure.com/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21",
            ),
        ] {
            let ends = config(flavor, base).endpoints().expect("a good URL");
            assert_eq!(ends.completions.as_str(), wanted, "{base}");
        }
        for bad in ["", "api.openai.com", "ftp://x", "https://"] {
            assert!(config(Flavor::OpenAi, bad).endpoints().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_never_printed() {
        let text = format!("{:?}", config(Flavor::OpenAi, "https://a.test"));
        assert!(!text.contains("very-secret"), "{text}");
    }
}
