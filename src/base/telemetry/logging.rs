//! Logs: one JSON object a line, with `timestamp`, `level`, `service`, `call_id`, `phone_hash`, `message` always there,
//! other fields beside them, and nothing in it that [`super::redact`] would mask.
//!
//! Fields of the enclosing spans belong to a line as much as its own: put `call_id` and `phone_hash` on the span of a
//! call and every line within it carries them.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use super::redact::{self, redact};
use crate::base::clock::{Clock, rfc3339};

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines, for machines.
    Json,
    /// One readable line each, for a developer's terminal.
    Human,
}

impl Format {
    /// Readable lines for a developer at a terminal (`ENVIRONMENT=development`), JSON everywhere else.
    #[must_use]
    pub fn fitting(environment: &str) -> Self {
        if environment == "development" && io::stdout().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `LOG_LEVEL` is neither a level nor a list of `target=level`.
    #[error("LOG_LEVEL {0:?} is neither trace, debug, info, warn, error, off nor a list of target=level")]
    Level(String),
    /// Something has installed a logger before.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Starts logging to standard output for the whole process.
///
/// `level` is a level or a filter like `info,carillon::dialing=debug`. A plain level is meant for our own lines;
/// libraries then speak from `warn` up, since their debug output quotes whole requests.
///
/// # Errors
/// Where `level` cannot be read, or a logger is installed already.
pub fn init(service: &str, level: &str, format: Format) -> Result<(), LoggingError> {
    init_to(service, level, format, io::stdout)
}

/// As [`init`], to a writer of the caller's: a command whose standard output is its result logs to `io::stderr`.
///
/// # Errors
/// As [`init`].
pub fn init_to<W>(service: &str, level: &str, format: Format, writer: W) -> Result<(), LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(level)?;
    let layer = Lines::new(service, format, Clock::System, writer);
    registry().with(filter).with(layer).try_init().map_err(|_| LoggingError::AlreadySet)
}

fn filter(level: &str) -> Result<EnvFilter, LoggingError> {
    let level = level.trim();
    let unreadable = || LoggingError::Level(level.to_owned());
    if level.is_empty() {
        return Err(unreadable());
    }
    if tracing::level_filters::LevelFilter::from_str(level).is_ok() {
        return EnvFilter::try_new(match level.to_ascii_lowercase().as_str() {
            quiet @ ("off" | "error") => quiet.to_owned(),
            ours => format!("warn,carillon={ours}"),
        })
        .map_err(|_| unreadable());
    }
    // EnvFilter takes any word for a target, a misspelt level included; only what names a level is meant.
    if !level.contains('=') {
        return Err(unreadable());
    }
    EnvFilter::try_new(level).map_err(|_| unreadable())
}

/// Fields in the order in which they came; of a name that comes again the newest value stands.
#[derive(Clone, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }
}

/// The fields of a span, kept beside it until it closes.
struct SpanFields(Fields);

/// The layer that writes the lines.
struct Lines<W> {
    service: String,
    format: Format,
    clock: Clock,
    writer: W,
}

impl<W> Lines<W> {
    fn new(service: &str, format: Format, clock: Clock, writer: W) -> Self {
        Self { service: service.to_owned(), format, clock, writer }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(more)) = span.extensions().get::<SpanFields>() {
                for (name, value) in &more.0 {
                    fields.put(name, value.clone());
                }
            }
        }
        event.record(&mut Collect(&mut fields));

        let target = event.metadata().target();
        if !target.starts_with("carillon") && !fields.has("target") {
            fields.put("target", Value::String(target.to_owned()));
        }
        let level = *event.metadata().level();
        let line = match self.format {
            Format::Json => self.json(level, fields),
            Format::Human => self.human(level, fields).into_bytes(),
        };
        // A log that cannot be written is no reason to fail a call; there is also nowhere left to say so.
        let _ = io::Write::write_all(&mut self.writer.make_writer(), &line);
    }
}

impl<W> Lines<W> {
    /// Written as it goes, since every request has a line: nothing is built that is only printed.
    fn json(&self, level: Level, mut fields: Fields) -> Vec<u8> {
        let mut line = Vec::with_capacity(384);
        let mut put = |name: &str, value: &Value| {
            line.extend_from_slice(if line.is_empty() { b"{" } else { b"," });
            // Neither texts nor numbers can fail to be written to a Vec.
            let _ = serde_json::to_writer(&mut line, name);
            line.push(b':');
            let _ = serde_json::to_writer(&mut line, value);
        };
        put("timestamp", &rfc3339(self.clock.now()).into());
        put("level", &lower(level).into());
        put("service", &self.service.as_str().into());
        for name in ["call_id", "phone_hash"] {
            put(name, &fields.take(name).unwrap_or(Value::Null));
        }
        put("message", &fields.take("message").unwrap_or_else(|| "".into()));
        for (name, value) in &fields.0 {
            // A field may not pass for one of the line's own.
            if OWN.contains(name) {
                let aside = format!("{name}_");
                if !fields.has(&aside) {
                    put(&aside, value);
                }
            } else {
                put(name, value);
            }
        }
        line.extend_from_slice(b"}\n");
        line
    }

    fn human(&self, level: Level, mut fields: Fields) -> String {
        let now = rfc3339(self.clock.now());
        let time = now.get(11..23).unwrap_or(&now);
        let message = fields.take("message").unwrap_or_default();
        let mut text = format!("{time} {:>5} {}", level.as_str(), bare(&message));
        for (name, value) in fields.0 {
            let _ = write!(text, " {name}={}", bare(&value));
        }
        // One event, one line: what somebody else said may not forge a second.
        let mut text = text.replace('\n', "\\n");
        text.push('\n');
        text
    }
}

/// A value as a reader wants it: strings without quotes.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What every line has of its own, beside `call_id`, `phone_hash` and `message`, which fields fill.
const OWN: [&str; 3] = ["timestamp", "level", "service"];

fn lower(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Takes fields as JSON values, masked on their way in.
struct Collect<'a>(&'a mut Fields);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name().trim_start_matches("r#");
        // `log` records bring their origin along in fields of this name.
        if name.starts_with("log.") {
            return;
        }
        let value =
            if redact::is_sensitive(name) { Value::String(redact::SECRET.into()) } else { value.into() };
        self.0.put(name, value);
    }
}

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, redact(&format!("{value:?}")).into_owned());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, redact(value).into_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, redact(&text).into_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, run: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = Lines::new("worker", format, Clock::manual(1_763_700_000_123), move || writer.clone());
        tracing::subscriber::with_default(registry().with(layer), run);
        let bytes = buffer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn one(run: impl FnOnce()) -> Value {
        let text = written(Format::Json, run);
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn a_line_has_the_fixed_fields_whether_known_or_not() {
        let line = one(|| tracing::info!("ready"));
        assert_eq!(
            line,
            serde_json::json!({"timestamp": "2025-11-21T04:40:00.123Z", "level": "info", "service": "worker",
                "call_id": null, "phone_hash": null, "message": "ready"})
        );
    }

    #[test]
    fn a_span_lends_its_fields_and_the_event_has_the_last_word() {
        let line = one(|| {
            let span =
                tracing::info_span!("call", call_id = "call_1", phone_hash = tracing::field::Empty, turn = 1);
            span.record("phone_hash", "abc");
            span.in_scope(|| tracing::warn!(turn = 2, slow = true, "late"));
        });
        assert_eq!(line["call_id"], "call_1");
        assert_eq!(line["phone_hash"], "abc");
        assert_eq!((&line["turn"], &line["slow"]), (&2.into(), &true.into()));
        assert_eq!(line["level"], "warn");
    }

    #[test]
    fn numbers_and_secrets_do_not_get_through() {
        let text = written(Format::Json, || {
            let error = io::Error::other("POST To=%2B14155550100 failed");
            let to = "+14155550100";
            tracing::info!(
                to,
                error = &error as &dyn std::error::Error,
                phone = 14_155_550_100_u64,
                "rang {to}"
            );
            tracing::info!(secret = "hunter2", header = ?"Bearer abcdefgh12345", "whsec_abcdef");
        });
        for leak in ["4155550100", "hunter2", "abcdefgh12345", "whsec_"] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }

    #[test]
    fn a_field_cannot_pass_for_the_lines_own() {
        let line = one(|| tracing::info!(level = "none", service = "x", "m"));
        assert_eq!((&line["level"], &line["service"]), (&"info".into(), &"worker".into()));
        assert_eq!((&line["level_"], &line["service_"]), (&"none".into(), &"x".into()));
    }

    #[test]
    fn readable_lines_stay_one_line_each() {
        let text =
            written(Format::Human, || tracing::error!(call_id = "call_1", why = "a\nb", "no +14155550100"));
        assert_eq!(text, "04:40:00.123 ERROR no [phone] call_id=call_1 why=a\\nb\n");
    }

    #[test]
    fn levels_are_read_and_misspelt_ones_refused() {
        for good in ["info", "DEBUG", "off", "warn", "info,carillon::dialing=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "carillon=loud", "a=b=c"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
        assert!(filter("info").expect("readable").to_string().contains("carillon=info"));
    }
}
