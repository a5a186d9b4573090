//! The language model: OpenAI or Azure OpenAI, whichever variables are set.

use secrecy::SecretString;

use super::reader::{Reader, is_loopback, is_within, plain_url, secret};

/// Whose model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelProvider {
    /// OpenAI, or a service that speaks its language.
    OpenAi,
    /// Azure OpenAI.
    Azure,
}

/// The model.
#[derive(Clone, Debug)]
pub struct ModelSection {
    /// Whose it is.
    pub provider: ModelProvider,
    /// `OPENAI_BASE_URL` or `AZURE_OPENAI_ENDPOINT`, without a slash at the end.
    pub base_url: String,
    /// `OPENAI_API_KEY` or `AZURE_OPENAI_KEY`.
    pub api_key: SecretString,
    /// `OPENAI_MODEL` or `AZURE_OPENAI_DEPLOYMENT`.
    pub model: String,
    /// `AZURE_OPENAI_API_VERSION`; means nothing to OpenAI.
    pub api_version: String,
}

/// What makes it Azure: any of these.
const AZURE: [&str; 3] = ["AZURE_OPENAI_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"];

impl ModelSection {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let azure: Vec<&str> = AZURE.into_iter().filter(|name| from.set(name).is_some()).collect();
        let openai = from.set("OPENAI_API_KEY").is_some();
        // What is said during a call goes to one company; which one is never a matter of precedence.
        if let (true, Some(name)) = (openai, azure.first()) {
            from.wrong(
                "OPENAI_API_KEY",
                format!("is set beside {name}: set OpenAI's variables or Azure's, not both"),
            );
        }
        let (names, provider) = if azure.is_empty() {
            (["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"], ModelProvider::OpenAi)
        } else {
            (AZURE, ModelProvider::Azure)
        };
        let api_key = from.read_quiet(names[0], secret(1));
        let base_url = from.read(names[1], base_url);
        let model = from.read(names[2], name);
        let api_version = from.read("AZURE_OPENAI_API_VERSION", name);
        if let Some((_, true)) = &base_url {
            from.warn(
                names[1],
                "is plain http to another machine: the key and what is said can be read on the way",
            );
        }
        Some(Self {
            provider,
            base_url: base_url?.0,
            api_key: api_key?,
            model: model?,
            api_version: api_version?,
        })
    }
}

/// The URL, and whether it leaves the machine in the clear.
fn base_url(text: &str) -> Result<(String, bool), String> {
    let url = plain_url(text)?;
    let vendor = ["openai.com", "azure.com", "microsoft.com"].iter().any(|domain| is_within(&url, domain));
    if vendor && url.scheme() != "https" {
        return Err("https:// for the vendor itself".to_owned());
    }
    Ok((text.trim_end_matches('/').to_owned(), url.scheme() == "http" && !is_loopback(&url)))
}

fn name(text: &str) -> Result<String, String> {
    if text.chars().count() <= 128 && text.chars().all(|c| !c.is_whitespace() && !c.is_control()) {
        Ok(text.to_owned())
    } else {
        Err("a name of at most 128 characters without spaces".to_owned())
    }
}
