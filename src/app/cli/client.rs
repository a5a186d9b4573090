//! A client of the API: asks, and turns every failure into a sentence that says what to do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the API is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// The API.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// The API key; of a comma-separated list the first. Otherwise API_KEYS of the environment or of `.env`.
    #[arg(long, global = true, env = "API_KEYS", hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

impl ApiArgs {
    /// A client for it.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url, key(self.api_key.as_deref(), Path::new(".env")).as_deref())
    }
}

/// The first key of a list: the one given (by argument or by the real environment, which wins even where it is set to
/// nothing), else that of `API_KEYS` in the file `.env`.
fn key(given: Option<&str>, dotenv: &Path) -> Option<String> {
    let list = match given {
        Some(list) => list.to_owned(),
        None => {
            // A line that cannot be read is `carillon check`'s to report; the others count.
            let lines = dotenvy::from_path_iter(dotenv).ok()?;
            lines.flatten().filter(|(name, _)| name == "API_KEYS").last()?.1
        }
    };
    list.split(',').map(str::trim).find(|key| !key.is_empty()).map(str::to_owned)
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may work in a moment: not reachable, overloaded, restarting.
    Passing(anyhow::Error),
    /// It will fail again; where the API said why, with its answer.
    Final(anyhow::Error, Option<Value>),
}

impl Failure {
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Passing(error) | Self::Final(error, _) => error,
        }
    }
}

/// An API at an address.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(super) fn new(url: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let parsed = url::Url::parse(url).with_context(|| format!("--url {url} is no URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            bail!("--url {url} must begin with http:// or https://");
        }
        // Another part of the program may have installed it before; then ours is not needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), key: key.map(str::to_owned) })
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut path = path.to_owned();
        if !query.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            path = format!("{path}?{query}");
        }
        self.send(self.request(Method::GET, &path).timeout(TIMEOUT)).await
    }

    /// Sends a request whose answer is read piece by piece.
    pub(super) async fn stream(&self, request: RequestBuilder) -> Result<Response, Failure> {
        self.open(request).await
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.open(request).await?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        serde_json::from_str(&text).map_err(|_| {
            let error = anyhow!("{} answered {status} without JSON; is a Carillon API there?", self.base);
            Failure::Final(error, None)
        })
    }

    /// The answer with its body unread, where the API did what it was asked.
    pub(super) async fn open(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        let word = |name: &str| body.as_ref().and_then(|b| b[name].as_str()).unwrap_or("").to_owned();
        let said = format!("{status}: {} – {}", word("title"), word("detail"));
        let said = said.trim_end_matches([' ', '–', ':']).to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Final(
                anyhow!(
                    "{} wants an API key, and this one was not accepted: give --api-key, or set API_KEYS",
                    self.base
                ),
                body,
            ),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Failure::Passing(anyhow!(said)),
            status if status.is_server_error() => Failure::Passing(anyhow!(said)),
            _ => Failure::Final(anyhow!(said), body),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = &self.base;
        Failure::Passing(if error.is_connect() {
            anyhow!(
                "nothing answers at {base}: is `carillon api` (or `carillon all`) running there? --url names another place"
            )
        } else if error.is_timeout() {
            anyhow!("{base} did not answer in time")
        } else {
            anyhow!("the connection to {base} broke: {}", error.to_string().replace(base, ""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_comes_from_the_argument_the_environment_or_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(".env");
        assert_eq!(key(None, &file), None, "no file is no error");
        std::fs::write(&file, "# keys\nREDIS_URL=redis://x\nAPI_KEYS=\"first, second\"\n").expect("a file");
        assert_eq!(key(None, &file).as_deref(), Some("first"));
        assert_eq!(key(Some("given,other"), &file).as_deref(), Some("given"));
        assert_eq!(key(Some(""), &file), None, "what is really set to nothing is nothing");
    }
}
