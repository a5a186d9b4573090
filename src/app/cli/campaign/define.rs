//! What a campaign is made of, from the command line.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::args::MapArgs;

/// What a campaign is made of.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct CreateArgs {
    /// What you call it.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The agent that talks.
    #[arg(long)]
    pub(super) agent: Option<String>,
    /// Its share beside other campaigns, 1 to 1000.
    #[arg(long)]
    pub(super) weight: Option<u32>,
    /// Calls started per second, at most.
    #[arg(long)]
    pub(super) max_cps: Option<f64>,
    /// Calls at the same time, at most.
    #[arg(long)]
    pub(super) max_concurrent: Option<u32>,
    /// A number it may call from; may be given several times.
    #[arg(long = "caller-id", value_delimiter = ',', value_name = "NUMBER")]
    pub(super) caller_ids: Vec<String>,
    /// Hours in the callee's time, such as 09:00-18:00.
    #[arg(long)]
    pub(super) window: Option<String>,
    /// Its retries, as JSON or as @FILE: {"max_attempts": 2, "no_answer": {"delays_s": [3600]}}.
    #[arg(long, value_name = "JSON")]
    pub(super) retries: Option<String>,
    /// What an answering machine gets: hang_up, message or continue.
    #[arg(long)]
    pub(super) voicemail: Option<String>,
    /// Where its notices go.
    #[arg(long)]
    pub(super) webhook_url: Option<String>,
    /// It starts by itself, RFC 3339.
    #[arg(long, value_name = "TIME", conflicts_with = "start")]
    pub(super) starts_at: Option<String>,
    /// Its calls are not placed after, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(super) expires_at: Option<String>,
    /// The consent that each row must bring: express or written.
    #[arg(long, value_name = "BASIS")]
    pub(super) require_consent: Option<String>,
    /// Where a number counts as a duplicate: campaign or account.
    #[arg(long)]
    pub(super) dedupe: Option<String>,
    /// Conversations to keep going at the same time, by dialing ahead of the share that answers.
    #[arg(long, value_name = "N")]
    pub(super) conversations: Option<u32>,
    /// Wait for further rows once all calls are over.
    #[arg(long)]
    pub(super) keep_open: bool,
    /// A file of rows to add at once, as `add` takes it.
    #[arg(long, value_name = "FILE")]
    pub(super) list: Option<PathBuf>,
    #[command(flatten)]
    pub(super) map: MapArgs,
    /// Start it at once.
    #[arg(long)]
    pub(super) start: bool,
}

impl CreateArgs {
    /// The request that makes it: what is not given is not in it, so that the API's own defaults hold.
    pub(super) fn body(&self) -> anyhow::Result<Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
        put("name", text(&self.name));
        put("agent", text(&self.agent));
        put("weight", self.weight.map(|n| json!(n)));
        put("max_cps", self.max_cps.map(|n| json!(n)));
        put("max_concurrent", self.max_concurrent.map(|n| json!(n)));
        put("caller_ids", (!self.caller_ids.is_empty()).then(|| json!(self.caller_ids)));
        put("window", text(&self.window));
        put("retries", self.retries.as_deref().map(retries).transpose()?);
        put("voicemail", text(&self.voicemail));
        put("webhook_url", text(&self.webhook_url));
        put("starts_at", text(&self.starts_at));
        put("expires_at", text(&self.expires_at));
        put("require_consent", text(&self.require_consent));
        put("dedupe", text(&self.dedupe));
        put("answer_rate", self.conversations.map(|n| json!({ "conversations": n })));
        put("keep_open", self.keep_open.then_some(json!(true)));
        Ok(Value::Object(body))
    }
}

fn retries(text: &str) -> anyhow::Result<Value> {
    let json = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None => text.to_owned(),
    };
    let value: Value = serde_json::from_str(&json).context("--retries is not JSON")?;
    if !value.is_object() {
        bail!("--retries must be a JSON object, such as {{\"max_attempts\": 2}}");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let args = CreateArgs {
            name: Some("spring".into()),
            caller_ids: vec!["+12025550199".into()],
            retries: Some(r#"{"max_attempts": 2}"#.into()),
            conversations: Some(4),
            ..CreateArgs::default()
        };
        let expected = json!({"name": "spring", "caller_ids": ["+12025550199"], "retries": {"max_attempts": 2},
            "answer_rate": {"conversations": 4}});
        assert_eq!(args.body().expect("a body"), expected);
        assert_eq!(CreateArgs::default().body().expect("a body"), json!({}));
        for wrong in ["{", "3", "@no/such/file"] {
            let args = CreateArgs { retries: Some(wrong.into()), ..CreateArgs::default() };
            assert!(args.body().is_err(), "{wrong}");
        }
    }
}
