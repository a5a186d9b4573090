//! Tests of the configuration as a whole.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::window::Window;

mod sources;

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A configuration for the real Twilio that has nothing wrong with it.
const GOOD: &[(&str, &str)] = &[
    ("BASE_URL", "https://dial.example.com"),
    ("PHONE_HASH_KEY", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
    ("TWILIO_ACCOUNT_SID", SID),
    ("TWILIO_AUTH_TOKEN", "auth-token-5e1f"),
    ("TWILIO_PHONE_NUMBER", "+12125550123"),
    ("OPENAI_API_KEY", "sk-proj-77aa"),
    ("S3_BUCKET_NAME", "interviews"),
    ("WEBHOOK_SIGNING_SECRET", WHSEC),
];
const SIMULATED: (&str, &str) = ("TWILIO_API_BASE_URL", "http://127.0.0.1:9000");

/// [`GOOD`] with changes; an empty value takes a variable away.
fn read(changes: &[(&str, &str)], role: Role) -> Result<Config, Problems> {
    let values: BTreeMap<&str, &str> = GOOD.iter().chain(changes).copied().collect();
    Config::from_env(&|name| values.get(name).map(|v| (*v).to_owned()), role)
}

fn good(changes: &[(&str, &str)]) -> Config {
    read(changes, Role::All).unwrap_or_else(|problems| panic!("{changes:?}: {problems}"))
}

/// The variables that are found wrong.
fn wrong(changes: &[(&str, &str)], role: Role) -> Vec<String> {
    read(changes, role).err().map_or_else(Vec::new, |p| p.problems.into_iter().map(|p| p.variable).collect())
}

#[test]
fn the_example_file_is_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
    let expected = env_example();
    if std::env::var_os("UPDATE_ENV_EXAMPLE").is_some() {
        std::fs::write(file, &expected).expect("writable");
    }
    let found = std::fs::read_to_string(file).expect(".env.example");
    assert!(found == expected, "write it with UPDATE_ENV_EXAMPLE=1 cargo test the_example_file_is_the_table");
}

#[test]
fn the_example_file_is_readable_as_env_and_names_every_variable() {
    let text = env_example();
    let set: BTreeMap<String, String> =
        dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().expect("no line is wrong");
    assert!(set.values().all(String::is_empty), "only what has no default is set, to nothing: {set:?}");
    for (name, default, doc) in VARIABLES {
        assert!(text.contains(&format!("{name}={default}\n")), "{name}");
        assert_eq!(set.contains_key(*name), default.is_empty(), "{name}");
        assert!(!doc.is_empty(), "{name}");
    }
}

#[test]
fn what_is_read_is_what_the_table_holds() {
    let asked = RefCell::new(BTreeSet::new());
    for extra in ["OPENAI_API_KEY", "AZURE_OPENAI_KEY"] {
        let _ = Config::from_env(
            &|name| {
                asked.borrow_mut().insert(name.to_owned());
                (name == extra).then(|| "k".to_owned())
            },
            Role::All,
        );
    }
    let table: BTreeSet<String> = VARIABLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(asked.into_inner(), table);
    assert_eq!(table.len(), VARIABLES.len(), "no name twice");
}

#[test]
fn defaults_are_conservative() {
    let config = good(&[]);
    assert_eq!(config.calling.window, Window::default());
    assert_eq!(config.calling.frequency_cap, 3);
    assert_eq!(config.calling.recording, Recording::AfterConsent);
    assert_eq!(config.calling.ring_timeout.as_secs(), 30);
    assert_eq!(config.calling.timings().ring_watch, 50_000);
    assert_eq!(config.calling.timings().max_call, 900_000);
    assert_eq!(config.api.bind_addr.to_string(), "127.0.0.1:8080");
    assert!((config.twilio.max_cps - 1.0).abs() < f64::EPSILON && config.twilio.real);
    assert!(!config.webhook.allow_private && !config.redis.allow_eviction);
    assert_eq!(config.node.environment, Environment::Production);
    assert_eq!(config.model.provider, ModelProvider::OpenAi);
    assert_eq!(config.warnings, []);
}

#[test]
fn each_wrong_value_is_reported_under_its_name_alone() {
    for (name, values) in [
        ("ENVIRONMENT", &["prod", "Production"][..]),
        (
            "BIND_ADDR",
            &["8080", ":8080", "localhost", "example.com:80", "127.0.0.1:99999", "0.0.0.0:8080", "[::]:80"],
        ),
        (
            "BASE_URL",
            &[
                "dial.example.com",
                "https://dial.example.com/",
                "https://dial.example.com?x=1",
                "https://dial.example.com#x",
                "http://dial.example.com",
                "ftp://dial.example.com",
                "https://u:p@dial.example.com",
            ],
        ),
        (
            "API_KEYS",
            &[
                "short",
                ",",
                "has spaces in its middle",
                "0123456789abcdef,0123456789abcdef",
                "schlüssel-mit-umlaut",
            ],
        ),
        ("RATE_LIMIT_PER_SECOND", &["-1", "many", "1.5"]),
        ("WORKER_CONCURRENCY", &["0", "-1", "99999"]),
        ("SHUTDOWN_GRACE", &["25s", "-1", "NaN", "inf"]),
        ("SHUTDOWN_NOTICE", &["5s", "-1", "NaN", "601"]),
        (
            "REDIS_URL",
            &[
                "localhost:6379",
                "http://localhost:6379",
                "redis://",
                "redis-sentinel://h:26379",
                "redis://h?max_connections=0",
                "redis://h?max_conections=4",
            ],
        ),
        ("REDIS_ALLOW_EVICTION", &["yes"]),
        ("PHONE_HASH_KEY", &["short", "c2hvcnQ=", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
        (
            "TWILIO_ACCOUNT_SID",
            &["AC123", "SK0123456789abcdef0123456789abcdef", "AC0123456789abcdef0123456789abcdeg"],
        ),
        ("TWILIO_AUTH_TOKEN", &["two words"]),
        ("TWILIO_PHONE_NUMBER", &["2125550123", "+15551234567", "+1911", "hello"]),
        (
            "TWILIO_API_BASE_URL",
            &["api.twilio.com", "http://api.twilio.com", "http://API.dublin.ie1.twilio.com."],
        ),
        ("TWILIO_MAX_CPS", &["0", "-1", "NaN", "inf", "fast"]),
        ("TWILIO_MAX_CONCURRENT", &["0", "1.5"]),
        ("CALL_WINDOW", &["8-21", "08:00", "08:00-08:00", "off", "OFF"]),
        ("CALLING_RULES", &["/nowhere/rules.toml", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
        ("DEFAULT_REGION", &["USA", "XX", "001", "1"]),
        ("FREQUENCY_CAP", &["0", "-3"]),
        ("RING_TIMEOUT", &["14", "601", "30s"]),
        ("MAX_CALL_SECONDS", &["0", "15m", "14401"]),
        ("MACHINE_DETECTION", &["on"]),
        ("RECORDING", &["yes", "after-consent"]),
        ("TRANSFER_NUMBER", &["911", "+1", "operator"]),
        ("REAL_PHONE_NUMBER", &["5"]),
        ("AGENTS_DIR", &["/nowhere", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
        ("TIME_SCALE", &["0", "0.5", "2", "NaN"]),
        ("OPENAI_BASE_URL", &["api.openai.com", "http://api.openai.com/v1"]),
        ("OPENAI_MODEL", &["gpt 4"]),
        ("AZURE_OPENAI_API_VERSION", &["a b"]),
        ("S3_BUCKET_NAME", &["ab", "Upper", "-x-", "a..b", "s3://bucket"]),
        ("S3_ENDPOINT_URL", &["localhost:9000", "http://h/?x"]),
        ("AWS_REGION", &["eu central"]),
        ("AWS_DEFAULT_REGION", &["eu/central"]),
        (
            "DEFAULT_WEBHOOK_URL",
            &["hooks.example.com", "http://127.0.0.1/x", "http://10.0.0.1", "http://localhost/x"],
        ),
        ("WEBHOOK_SIGNING_SECRET", &["secret", "whsec_", "whsec_c2hvcnQ=", ","]),
        ("WEBHOOK_TIMEOUT", &["0", "30s"]),
        ("WEBHOOK_MAX_RETRIES", &["-1", "101"]),
        ("WEBHOOK_BATCH_SIZE", &["0"]),
        ("OUTBOX_MAX_BACKLOG", &["0", "-1", "many"]),
        ("WEBHOOK_PROCESS_INTERVAL", &["0"]),
        ("WEBHOOK_ALLOW_PRIVATE", &["maybe"]),
        ("LOG_LEVEL", &["verbose", "carillon=loud"]),
        ("LOG_FORMAT", &["text"]),
    ] {
        for value in values {
            assert_eq!(wrong(&[(name, value)], Role::All), [name], "{name}={value}");
        }
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let nothing = Config::from_env(&|_| None, Role::All).expect_err("much is required");
    let names: Vec<&str> = nothing.problems.iter().map(|p| p.variable.as_str()).collect();
    assert_eq!(
        names,
        [
            "BASE_URL",
            "PHONE_HASH_KEY",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_PHONE_NUMBER",
            "OPENAI_API_KEY",
            "S3_BUCKET_NAME",
            "WEBHOOK_SIGNING_SECRET"
        ]
    );
    let text = nothing.to_string();
    assert!(text.starts_with("the configuration has 8 mistake(s):\n  BASE_URL is not set. "), "{text}");

    let several = wrong(
        &[("RING_TIMEOUT", "5"), ("LOG_LEVEL", "loud"), ("CALL_WINDOW", "x"), ("S3_BUCKET_NAME", "")],
        Role::All,
    );
    assert_eq!(several, ["CALL_WINDOW", "RING_TIMEOUT", "S3_BUCKET_NAME", "LOG_LEVEL"]);
}

#[test]
fn a_role_needs_what_it_uses() {
    let dials = [("TWILIO_PHONE_NUMBER", ""), ("WEBHOOK_SIGNING_SECRET", "")];
    assert_eq!(wrong(&dials, Role::Api), [""; 0]);
    for role in [Role::Worker, Role::All, Role::Check] {
        assert_eq!(wrong(&dials, role), ["TWILIO_PHONE_NUMBER", "WEBHOOK_SIGNING_SECRET"], "{role:?}");
    }
    assert_eq!(wrong(&[("WEBHOOK_SIGNING_SECRET", "bad")], Role::Api), ["WEBHOOK_SIGNING_SECRET"]);
}

#[test]
fn without_keys_the_api_stays_on_loopback() {
    let open = ("BIND_ADDR", "0.0.0.0:8080");
    for role in [Role::Api, Role::All, Role::Check] {
        let problems = read(&[open], role).expect_err("refused").problems;
        assert!(
            problems[0].variable == "BIND_ADDR" && problems[0].message.contains("API_KEYS"),
            "{problems:?}"
        );
    }
    assert_eq!(wrong(&[open], Role::Worker), [""; 0], "a worker serves health and metrics alone");
    let config = good(&[open, ("API_KEYS", " 0123456789abcdef, fedcba9876543210 ,")]);
    assert_eq!(config.api.keys.len(), 2);
    for loopback in ["127.0.0.1:0", "[::1]:80", "[::ffff:127.0.0.1]:80", "localhost:80", "127.8.8.8:1"] {
        good(&[("BIND_ADDR", loopback)]);
    }
}

#[test]
fn with_twilio_itself_nothing_is_rehearsed() {
    let rehearsal = [("CALL_WINDOW", "off"), ("TIME_SCALE", "600"), ("BASE_URL", "http://api.internal:8080")];
    for real in [
        "",
        "https://api.twilio.com",
        "https://api.twilio.com/",
        "https://API.Twilio.com.",
        "https://api.dublin.ie1.twilio.com",
    ] {
        let mut changes = rehearsal.to_vec();
        changes.push(("TWILIO_API_BASE_URL", real));
        assert_eq!(wrong(&changes, Role::All), ["BASE_URL", "CALL_WINDOW", "TIME_SCALE"], "{real}");
    }
    for simulated in [
        "http://127.0.0.1:9000",
        "http://sim:9000",
        "https://nottwilio.com",
        "https://twilio.com.example.org",
    ] {
        let mut changes = rehearsal.to_vec();
        changes.push(("TWILIO_API_BASE_URL", simulated));
        let config = good(&changes);
        assert!(!config.twilio.real && config.calling.window == Window::Off, "{simulated}");
    }
    // A host that cannot be read is its own mistake, and no reason for others.
    let mut changes = rehearsal.to_vec();
    changes.push(("TWILIO_API_BASE_URL", "what"));
    assert_eq!(wrong(&changes, Role::All), ["TWILIO_API_BASE_URL"]);

    let config = good(&[("BASE_URL", "http://127.0.0.1:8080")]);
    assert_eq!(config.warnings[0].variable, "BASE_URL");
}

#[test]
fn the_older_name_of_the_transfer_number_stands() {
    let number =
        |changes: &[(&str, &str)]| good(changes).calling.transfer_number.map(|p| p.e164().to_owned());
    let (new, old) = ("TRANSFER_NUMBER", "REAL_PHONE_NUMBER");
    assert_eq!(number(&[]), None);
    for changes in [
        &[(new, "+14155550123")][..],
        &[(old, "+14155550123")],
        &[(new, "+14155550123"), (old, "+1 (415) 555-0123")],
    ] {
        assert_eq!(number(changes).as_deref(), Some("+14155550123"), "{changes:?}");
    }
    let differ = read(&[(new, "+14155550123"), (old, "+14155550124")], Role::All).expect_err("they differ");
    assert_eq!(differ.problems.len(), 1);
    assert!(differ.to_string().contains(new) && differ.to_string().contains(old), "{differ}");
}

#[test]
fn the_model_is_at_one_company() {
    let azure = [
        ("OPENAI_API_KEY", ""),
        ("AZURE_OPENAI_KEY", "azure-key"),
        ("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/"),
        ("AZURE_OPENAI_DEPLOYMENT", "talk"),
    ];
    let model = good(&azure).model;
    assert_eq!(model.provider, ModelProvider::Azure);
    assert_eq!((&*model.base_url, &*model.model), ("https://r.openai.azure.com", "talk"));
    assert_eq!(wrong(&azure[..2], Role::All), ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"]);
    assert_eq!(wrong(&azure[1..], Role::All), ["OPENAI_API_KEY"]);
    let plain = good(&[("OPENAI_BASE_URL", "http://model:9000")]);
    assert_eq!(plain.warnings[0].variable, "OPENAI_BASE_URL");
}

#[test]
fn the_keys_of_the_bucket_come_together() {
    let (id, secret, token) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN");
    assert_eq!(wrong(&[(id, "AKIA1")], Role::All), [secret]);
    assert_eq!(wrong(&[(secret, "x")], Role::All), [id]);
    assert_eq!(wrong(&[(token, "x")], Role::All), [id]);
    let s3 = good(&[
        (id, "AKIA1"),
        (secret, "x"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("S3_ENDPOINT_URL", "http://h:1/"),
    ])
    .s3;
    assert_eq!(s3.region, "eu-west-1");
    let archive = s3.archive();
    assert_eq!(archive.credentials.expect("keys").access_key, "AKIA1");
    assert_eq!(archive.endpoint_url.as_deref(), Some("http://h:1"));
    assert_eq!(
        good(&[("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "eu-west-2")]).s3.region,
        "eu-west-2"
    );
}

#[test]
fn several_signing_secrets_and_private_receivers() {
    let two = format!("{WHSEC} whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let config = good(&[
        ("WEBHOOK_SIGNING_SECRET", &two),
        ("WEBHOOK_ALLOW_PRIVATE", "1"),
        ("DEFAULT_WEBHOOK_URL", "http://127.0.0.1:7000/in?token=t0k"),
    ]);
    assert_eq!(config.webhook.deliver().secrets.len(), 2);
    assert_eq!(config.store().default_webhook_url.as_deref(), Some("http://127.0.0.1:7000/in?token=t0k"));
}

#[test]
fn no_secret_shows() {
    let secrets = [
        ("PHONE_HASH_KEY", "k3y-0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
        ("TWILIO_AUTH_TOKEN", "tw-5ecret"),
        ("TWILIO_PHONE_NUMBER", "+12125550123"),
        ("TRANSFER_NUMBER", "+14155550123"),
        ("OPENAI_API_KEY", "sk-5ecret"),
        ("REDIS_URL", "redis://:pa55word@127.0.0.1:6379"),
        ("API_KEYS", "api-5ecret-0123456789"),
        ("AWS_ACCESS_KEY_ID", "AKIA5ecret"),
        ("AWS_SECRET_ACCESS_KEY", "aws-5ecret"),
        ("DEFAULT_WEBHOOK_URL", "https://hooks.example.com/t0ken"),
    ];
    let shown = format!("{:?}", good(&secrets));
    for (name, value) in secrets {
        assert!(!shown.contains(value), "{name} in {shown}");
    }
    assert!(!shown.contains(&WHSEC[6..]) && !shown.contains("pa55word"), "{shown}");

    // Nor in a message, however wrong the value is.
    for (name, value) in [
        ("PHONE_HASH_KEY", "5ecret"),
        ("TWILIO_AUTH_TOKEN", "5ecret 5ecret"),
        ("TWILIO_ACCOUNT_SID", "5ecret"),
        ("TWILIO_PHONE_NUMBER", "5ecret"),
        ("TRANSFER_NUMBER", "5ecret"),
        ("OPENAI_API_KEY", "5ecret 5ecret"),
        ("REDIS_URL", "http://:5ecret@h"),
        ("API_KEYS", "5ecret"),
        ("AWS_SECRET_ACCESS_KEY", "5ecret 5ecret"),
        ("DEFAULT_WEBHOOK_URL", "http://u:5ecret@h"),
        ("BASE_URL", "https://u:5ecret@h"),
        ("WEBHOOK_SIGNING_SECRET", "5ecret"),
    ] {
        let problems = read(&[(name, value)], Role::All).expect_err(name);
        assert!(!problems.to_string().contains("5ecret"), "{problems}");
        assert!(!format!("{problems:?}").contains("5ecret"), "{problems:?}");
    }
}

#[test]
fn blanks_around_a_value_do_not_count() {
    let config = good(&[("TWILIO_AUTH_TOKEN", "token-from-a-file\n"), ("RECORDING", "   ")]);
    assert_eq!(config.twilio.auth_token.expose_secret(), "token-from-a-file");
    assert_eq!(config.calling.recording, Recording::AfterConsent);
}

#[test]
fn a_rehearsal_has_shorter_watchdogs() {
    let timings = good(&[SIMULATED, ("TIME_SCALE", "10"), ("RING_TIMEOUT", "40")]).calling.timings();
    assert_eq!(timings.ring_watch, 6_000);
}

#[test]
fn a_rehearsal_may_have_weak_keys_and_is_told_so() {
    let rehearsal = [
        ("TWILIO_API_BASE_URL", "http://127.0.0.1:9000"),
        ("API_KEYS", "short"),
        ("PHONE_HASH_KEY", "guessable"),
        ("TWILIO_ACCOUNT_SID", "ACtest"),
        ("TWILIO_PHONE_NUMBER", "+15550001111"),
    ];
    let config = good(&rehearsal);
    let warned: Vec<&str> = config.warnings.iter().map(|w| w.variable.as_str()).collect();
    for name in ["API_KEYS", "PHONE_HASH_KEY"] {
        assert!(warned.contains(&name), "{warned:?}");
    }
    let mut names = wrong(&rehearsal[1..], Role::All);
    names.sort_unstable();
    assert_eq!(names, ["API_KEYS", "PHONE_HASH_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_PHONE_NUMBER"]);
}

#[test]
fn the_pool_of_callers_is_the_list_or_the_one_number() {
    let pool = |changes: &[(&str, &str)]| -> Vec<String> {
        good(changes).twilio.caller_ids.iter().map(|p| p.e164().to_owned()).collect()
    };
    assert_eq!(pool(&[]), ["+12125550123"]);
    let two = ("CALLER_IDS", "+13055550101, +1 205 555 0103,");
    assert_eq!(pool(&[two]), ["+13055550101", "+12055550103"]);
    let alone = good(&[two, ("TWILIO_PHONE_NUMBER", "")]);
    assert_eq!(alone.twilio.from.as_ref().map(|p| p.e164()), Some("+13055550101"));
    let none = good(&[]).twilio;
    assert_eq!((none.caller_max_cps, none.caller_max_concurrent, none.caller_daily_cap), (0.0, 0, 0));
    let some = good(&[
        ("CALLER_ID_MAX_CPS", "0.5"),
        ("CALLER_ID_MAX_CONCURRENT", "3"),
        ("CALLER_ID_DAILY_CAP", "400"),
    ]);
    let some = some.twilio;
    assert_eq!((some.caller_max_cps, some.caller_max_concurrent, some.caller_daily_cap), (0.5, 3, 400));
}

#[test]
fn a_bad_caller_is_named_by_its_place() {
    for (text, place) in
        [("+12125550123,12055550103", "entry 2"), ("+12125550123,+12125550123", "entry 2"), (",", "")]
    {
        let problems = read(&[("CALLER_IDS", text)], Role::All).expect_err(text).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].variable, "CALLER_IDS");
        assert!(problems[0].message.contains(place), "{}", problems[0].message);
        assert!(!problems[0].message.contains("2055550103"), "{}", problems[0].message);
    }
    for (name, value) in
        [("CALLER_ID_MAX_CPS", "-1"), ("CALLER_ID_MAX_CONCURRENT", "x"), ("CALLER_ID_DAILY_CAP", "1.5")]
    {
        assert_eq!(wrong(&[(name, value)], Role::All), [name]);
    }
}
