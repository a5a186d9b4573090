//! The one table of configuration variables, and the `.env.example` made from it.

use std::fmt::Write as _;

/// Every variable: its name, its default (empty: none), what it means. The first sentence of the meaning is what an
/// operator reads where the variable is missing. `.env.example` is [`env_example`], a test keeps it so.
pub const VARIABLES: &[(&str, &str, &str)] = &[
    (
        "ENVIRONMENT",
        "production",
        "production or development. Development logs readable lines on a terminal.",
    ),
    (
        "BIND_ADDR",
        "127.0.0.1:8080",
        "Address and port to listen on, in every role. Without API_KEYS it must be loopback where the API is served.",
    ),
    (
        "BASE_URL",
        "",
        "The public URL of the API nodes, without a slash at the end, such as https://dial.example.com. Twilio calls back here and signs over it.",
    ),
    (
        "API_KEYS",
        "",
        "Keys of the API's clients (Authorization: Bearer), separated by commas, at least 16 characters each. Make one: openssl rand -hex 24",
    ),
    ("RATE_LIMIT_PER_SECOND", "50", "Requests per second and API key on one node; 0 means no limit."),
    ("WORKER_CONCURRENCY", "128", "Calls that one worker works on at the same time."),
    ("SHUTDOWN_GRACE", "25", "Seconds that work under way is given to finish when the node is told to stop."),
    (
        "SHUTDOWN_NOTICE",
        "5",
        "Seconds of them in which a node that is told to stop still takes requests and says 503 at /readyz, so that balancers see it. Longer than a balancer takes to notice.",
    ),
    (
        "REDIS_URL",
        "redis://127.0.0.1:6379",
        "redis://, redis-sentinel:// or redis-cluster:// (rediss… with TLS). ?max_connections= sets the pool, &node=host:port names further nodes, &sentinelServiceName= the service behind a sentinel.",
    ),
    (
        "REDIS_WAIT_REPLICAS",
        "0",
        "Replicas of Redis that must have a dial before it leaves, and a call before it is accepted. With 1 a failover to that replica forgets neither; where none answers nothing is dialed or accepted.",
    ),
    (
        "REDIS_ALLOW_EVICTION",
        "false",
        "Accept a Redis that may evict keys. It then loses queued calls and webhooks: never in production.",
    ),
    (
        "PHONE_HASH_KEY",
        "",
        "The key under which phone numbers are hashed: at least 32 characters, or base64 of at least 16 bytes. The same on every node and for ever. Make one: openssl rand -hex 32",
    ),
    ("TWILIO_ACCOUNT_SID", "", "The account at Twilio: AC and 32 hexadecimal digits."),
    ("TWILIO_AUTH_TOKEN", "", "The account's auth token. Twilio signs its callbacks with it."),
    ("TWILIO_PHONE_NUMBER", "", "The number that calls come from, in E.164. Not needed with CALLER_IDS."),
    ("TWILIO_API_BASE_URL", "https://api.twilio.com", "Twilio's API, or a simulator."),
    ("TWILIO_MAX_CPS", "1", "Calls started per second by the whole fleet: what the account allows."),
    ("TWILIO_MAX_CONCURRENT", "100", "Calls at the same time in the whole fleet: what the account allows."),
    (
        "CALLER_IDS",
        "",
        "The numbers that calls come from, in E.164, separated by commas; without it, TWILIO_PHONE_NUMBER alone. A callee always sees the same one, of the own area code or state where there is one. The same on every node.",
    ),
    (
        "CALLER_ID_MAX_CPS",
        "0",
        "Calls started per second from each number; 0 means no limit but the account's.",
    ),
    (
        "CALLER_ID_MAX_CONCURRENT",
        "0",
        "Calls at the same time from each number; 0 means no limit but the account's.",
    ),
    ("CALLER_ID_DAILY_CAP", "0", "Calls from each number in one UTC day; 0 means no limit."),
    (
        "CALL_WINDOW",
        "08:00-21:00",
        "When a number may ring, in its own local time. off is for simulated carriers alone.",
    ),
    ("CALLING_RULES", "", "A file of calling rules that replaces the built-in ones."),
    (
        "DEFAULT_REGION",
        "US",
        "How a phone number without a country is read: an ISO 3166-1 code of two letters.",
    ),
    ("FREQUENCY_CAP", "3", "Calls to one number in any 24 hours."),
    ("RING_TIMEOUT", "30", "Seconds that a phone rings, 15 at least."),
    ("MAX_CALL_SECONDS", "900", "The longest a call may last, in seconds."),
    ("MACHINE_DETECTION", "true", "Have the carrier find out whether a machine answers."),
    ("RECORDING", "after_consent", "after_consent, from_answer or off."),
    ("TRANSFER_NUMBER", "", "Where a callee who asks for a person is transferred, in E.164."),
    ("REAL_PHONE_NUMBER", "", "The older name of TRANSFER_NUMBER."),
    ("AGENTS_DIR", "", "A directory whose agents replace the built-in ones of the same name."),
    (
        "TIME_SCALE",
        "1",
        "How many times faster than life retries and watchdogs run. For rehearsals against a simulated carrier alone.",
    ),
    (
        "OPENAI_API_KEY",
        "",
        "The key for the model at OpenAI, or at a service that speaks its language. Instead of it, set the AZURE_OPENAI_ variables.",
    ),
    ("OPENAI_BASE_URL", "https://api.openai.com/v1", "Where the model is."),
    ("OPENAI_MODEL", "gpt-4o-mini", "The model that talks."),
    ("AZURE_OPENAI_KEY", "", "The key for the model at Azure OpenAI."),
    ("AZURE_OPENAI_ENDPOINT", "", "The resource at Azure OpenAI, such as https://name.openai.azure.com"),
    ("AZURE_OPENAI_DEPLOYMENT", "", "The deployment of the model at Azure OpenAI."),
    ("AZURE_OPENAI_API_VERSION", "2024-10-21", "The version of Azure OpenAI's API."),
    ("S3_BUCKET_NAME", "", "The bucket for transcripts, profiles, recordings and audit records."),
    ("S3_ENDPOINT_URL", "", "A server that is S3-compatible; without it, AWS."),
    ("AWS_REGION", "us-east-1", "The bucket's region."),
    ("AWS_DEFAULT_REGION", "", "Used where AWS_REGION is not set."),
    (
        "AWS_ACCESS_KEY_ID",
        "",
        "The access key for the bucket. Without it AWS's own chain is asked: profile, container, instance.",
    ),
    ("AWS_SECRET_ACCESS_KEY", "", "The secret that belongs to AWS_ACCESS_KEY_ID."),
    ("AWS_SESSION_TOKEN", "", "The token that belongs to a temporary AWS_ACCESS_KEY_ID."),
    ("DEFAULT_WEBHOOK_URL", "", "Where results go when neither the call nor its campaign names a place."),
    (
        "WEBHOOK_SIGNING_SECRET",
        "",
        "What webhooks are signed with: whsec_ and base64 of 24 to 64 bytes. While it is being rotated several, the new one first, separated by commas or spaces. Make one: echo whsec_$(openssl rand -base64 32)",
    ),
    ("WEBHOOK_TIMEOUT", "30", "Seconds that a receiver has to answer."),
    ("WEBHOOK_MAX_RETRIES", "5", "Repeats before a webhook becomes a dead letter."),
    ("WEBHOOK_BATCH_SIZE", "50", "Webhooks taken from the outbox at a time."),
    (
        "WEBHOOK_PROCESS_INTERVAL",
        "10",
        "Seconds between two looks into the outbox at the most; new webhooks leave at once.",
    ),
    (
        "OUTBOX_MAX_BACKLOG",
        "20000",
        "Webhooks that may wait for delivery; with more of them nothing is dialed until half are gone.",
    ),
    ("WEBHOOK_ALLOW_PRIVATE", "false", "Accept receivers on loopback and private networks."),
    (
        "LOG_LEVEL",
        "info",
        "trace, debug, info, warn, error, off, or a list such as info,carillon::dialing=debug.",
    ),
    ("LOG_FORMAT", "auto", "json, human, or auto: readable on a developer's terminal, JSON elsewhere."),
];

/// The headings of `.env.example`, each with the variable it stands before.
const HEADINGS: &[(&str, &str)] = &[
    ("ENVIRONMENT", "The node and its API"),
    ("REDIS_URL", "Redis"),
    ("TWILIO_ACCOUNT_SID", "Twilio"),
    ("CALL_WINDOW", "Calling"),
    ("OPENAI_API_KEY", "The model: OpenAI or Azure OpenAI, one of the two"),
    ("S3_BUCKET_NAME", "The archive"),
    ("DEFAULT_WEBHOOK_URL", "Webhooks"),
    ("LOG_LEVEL", "Logs"),
];

const INTRODUCTION: &str = "\
# Every variable that Carillon reads. Copy this file to .env and fill in what has no default; what stands behind a #
# is the default. The real environment wins over .env. An empty value counts as not set. Values with spaces or a $
# go between 'single quotes'. `carillon check` says what is wrong and pings every dependency.
#
# Made from src/app/config/variables.rs; a test keeps the two equal.
";

/// The text of `.env.example`: all [`VARIABLES`] with their meaning, those with a default commented out.
#[must_use]
pub fn env_example() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (name, default, doc) in VARIABLES {
        if let Some((_, heading)) = HEADINGS.iter().find(|(first, _)| first == name) {
            let _ = write!(out, "\n## {heading}\n");
        }
        out.push('\n');
        for line in wrap(doc, 110) {
            let _ = writeln!(out, "# {line}");
        }
        let comment = if default.is_empty() { "" } else { "# " };
        let _ = writeln!(out, "{comment}{name}={default}");
    }
    out
}

/// What holds where the variable is not set.
pub(super) fn default_of(name: &str) -> Option<&'static str> {
    row(name).map(|(_, default, _)| *default).filter(|default| !default.is_empty())
}

/// What the variable means, in its first sentence, without the full stop.
pub(super) fn meaning_of(name: &str) -> &'static str {
    let doc = row(name).map_or("", |(_, _, doc)| *doc);
    doc.split_once(". ").map_or(doc, |(first, _)| first).trim_end_matches('.')
}

fn row(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    VARIABLES.iter().find(|(known, _, _)| *known == name)
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last].push_str(word);
        } else if lines[last].len() + 1 + word.len() <= width {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
