//! Our requests against the vendor's own description of its API. The description is not part of the project: it is
//! read from `CARILLON_VENDOR_OPENAPI`, else from `../shared/openapi` beside the project; without it, tests say that
//! they were skipped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use carillon::sim::ledger::Book;
use serde_json::{Map, Value, json};

/// Where the description is looked for when no variable names it, from the project's root.
const BESIDE: &str = "../shared/openapi/twilio_api_v2010.json";

const FORM: &str = "application/x-www-form-urlencoded";

/// What the description says in words only: at least one of these fields must be there.
const ONE_OF: [(&str, &[&str]); 1] =
    [("/2010-04-01/Accounts/{AccountSid}/Calls.json", &["Url", "Twiml", "ApplicationSid"])];

/// What the description says in words only: the values of these fields, whatever the call.
const WORDS: [(&str, &[&str]); 3] = [
    ("StatusCallbackEvent", &["initiated", "ringing", "answered", "completed"]),
    ("MachineDetection", &["Enable", "DetectMessageEnd"]),
    ("RecordingChannels", &["mono", "dual"]),
];

/// The ids in a request's path, each by the name that its template gives it.
type Ids = Vec<(String, String)>;

/// What became of a ledger's requests.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Each shape of a request (method, path without ids, names of its fields) and how often it came.
    pub(crate) seen: BTreeMap<String, usize>,
    /// Every complaint.
    pub(crate) wrong: Vec<String>,
}

/// Checks requests against the description.
pub(crate) struct Validator {
    document: Value,
    /// Schemas that were read before, by their text: a soak asks tens of thousands of times.
    compiled: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

impl Validator {
    /// The description; `None`, said on standard output, where it is not on this machine.
    pub(crate) fn load() -> Option<Self> {
        let path = std::env::var_os("CARILLON_VENDOR_OPENAPI")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(BESIDE), PathBuf::from);
        let Ok(bytes) = std::fs::read(&path) else {
            println!("SKIPPED: vendor description not found");
            return None;
        };
        let document = serde_json::from_slice(&bytes).expect("the vendor description is JSON");
        Some(Self { document, compiled: Mutex::default() })
    }

    /// Checks every request that the simulated carrier wrote down.
    pub(crate) fn book(&self, book: &Book, account: &str) -> Checked {
        let mut checked = Checked::default();
        let path = format!("/2010-04-01/Accounts/{account}/Calls.json");
        for create in &book.creates {
            for name in &create.unknown {
                checked.wrong.push(format!("POST {path}: {name}: Twilio does not know it"));
            }
            self.request(&mut checked, "POST", &path, &create.form);
        }
        for request in &book.rest {
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            if request.method == "POST" {
                self.request(&mut checked, "POST", path, &request.form);
            } else {
                let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                self.request(&mut checked, &request.method, path, &query);
            }
        }
        checked
    }

    fn request(&self, checked: &mut Checked, method: &str, path: &str, fields: &[(String, String)]) {
        // Media lie beside the API, which describes what it answers in JSON.
        if [".wav", ".mp3"].iter().any(|media| path.ends_with(media)) {
            *checked.seen.entry(format!("{method} media (not described)")).or_default() += 1;
            return;
        }
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Err(complaints) = self.validate(method, path, &fields) {
            checked.wrong.push(format!("{method} {path}: {}", complaints.join("; ")));
        }
        let shape: Vec<&str> =
            path.split('/').skip(4).map(|part| if part.len() > 30 { "{sid}" } else { part }).collect();
        let names: BTreeSet<&str> = fields.iter().map(|(name, _)| *name).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(" ");
        *checked.seen.entry(format!("{method} {} ({names})", shape.join("/"))).or_default() += 1;
    }

    /// Checks one request: `fields` are the form of a POST, the query of anything else; a key may come several times
    /// where it is a list. The path is the request's own, with its ids in place.
    ///
    /// # Errors
    /// Every complaint, each naming its field.
    pub(crate) fn validate(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<(), Vec<String>> {
        let method = method.to_ascii_lowercase();
        let (template, ids, operation) = self.operation(&method, path).map_err(|error| vec![error])?;
        let mut complaints = Vec::new();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for (name, value) in ids {
            let schema = parameters.iter().find(|p| p["in"] == "path" && p["name"] == name.as_str());
            let Some(schema) = schema.map(|p| &p["schema"]) else { continue };
            complaints
                .extend(self.check(schema, &json!(value)).into_iter().map(|why| format!("{name}: {why}")));
        }
        let (properties, required) = if method == "post" {
            let schema = &operation["requestBody"]["content"][FORM]["schema"];
            (schema["properties"].as_object().cloned().unwrap_or_default(), schema["required"].clone())
        } else {
            let query = parameters.iter().filter(|p| p["in"] == "query");
            let named = query.filter_map(|p| Some((p["name"].as_str()?.to_owned(), p["schema"].clone())));
            (named.collect(), Value::Null)
        };
        complaints.extend(self.fields(&properties, &required, fields));
        for (_, choices) in ONE_OF.iter().filter(|(of, _)| *of == template && method == "post") {
            if !fields.iter().any(|(name, _)| choices.contains(name)) {
                complaints.push(format!("one of {} is needed", choices.join(", ")));
            }
        }
        if complaints.is_empty() { Ok(()) } else { Err(complaints) }
    }

    fn fields(
        &self,
        properties: &Map<String, Value>,
        required: &Value,
        fields: &[(&str, &str)],
    ) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in fields {
            given.entry(name).or_default().push(value);
        }
        for name in required.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !given.contains_key(name) {
                complaints.push(format!("{name}: is required"));
            }
        }
        for (name, values) in given {
            // A range is asked for as `StartTime>`; the description names it so as well.
            let Some(schema) = properties.get(name) else {
                complaints.push(format!("{name}: the vendor knows no such field"));
                continue;
            };
            if values.len() > 1 && self.resolve(schema)["type"] != "array" {
                complaints.push(format!("{name}: given {} times", values.len()));
                continue;
            }
            let typed = self.typed(schema, &values);
            complaints.extend(self.check(schema, &typed).into_iter().map(|why| format!("{name}: {why}")));
            for (_, words) in WORDS.iter().filter(|(of, _)| *of == name) {
                let unknown = values.iter().filter(|value| !words.contains(value));
                complaints.extend(unknown.map(|value| format!("{name}: {value:?} is none of {words:?}")));
            }
        }
        complaints
    }

    /// The template that `path` fits, the ids in it, and the operation; templates without ids in a place win.
    fn operation(&self, method: &str, path: &str) -> Result<(&str, Ids, &Value), String> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let paths = self.document["paths"].as_object().ok_or("the description has no paths")?;
        let mut fits: Vec<_> = paths
            .iter()
            .filter_map(|(template, item)| Some((ids(template, path)?, template, item)))
            .collect();
        fits.sort_by_key(|(ids, _, _)| ids.len());
        let Some((ids, template, item)) = fits.into_iter().next() else {
            return Err(format!("the vendor knows no path {path}"));
        };
        match &item[method] {
            Value::Null => Err(format!("the vendor knows no {method} of {template}")),
            operation => Ok((template, ids, operation)),
        }
    }

    /// A form's texts in the type that `schema` wants; what does not fit stays a text, and fails the check.
    fn typed(&self, schema: &Value, values: &[&str]) -> Value {
        let schema = self.resolve(schema);
        let one = values.first().copied().unwrap_or_default();
        match schema["type"].as_str() {
            Some("array") => values.iter().map(|value| self.typed(&schema["items"], &[value])).collect(),
            Some("boolean") => one.parse::<bool>().map_or_else(|_| json!(one), Value::from),
            Some("integer") => one.parse::<i64>().map_or_else(|_| json!(one), Value::from),
            Some("number") => one.parse::<f64>().map_or_else(|_| json!(one), Value::from),
            _ => json!(one),
        }
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target =
            schema["$ref"].as_str().and_then(|target| self.document.pointer(target.trim_start_matches('#')));
        target.unwrap_or(schema)
    }

    fn check(&self, schema: &Value, value: &Value) -> Vec<String> {
        match self.compile(schema) {
            Ok(validator) => validator.iter_errors(value).map(|error| error.to_string()).collect(),
            Err(error) => vec![format!("the vendor's schema cannot be read: {error}")],
        }
    }

    fn compile(&self, schema: &Value) -> Result<Arc<jsonschema::Validator>, String> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let text = schema.to_string();
        if let Some(known) = compiled.get(&text) {
            return Ok(Arc::clone(known));
        }
        let mut schema = self.resolve(schema).clone();
        if let Some(whole) = schema.as_object_mut() {
            whole.insert("components".into(), self.document["components"].clone());
        }
        let validator = Arc::new(jsonschema::validator_for(&schema).map_err(|error| error.to_string())?);
        compiled.insert(text, Arc::clone(&validator));
        Ok(validator)
    }
}

/// The ids that `path` has in the places of `template`; `None` where it does not fit.
fn ids(template: &str, path: &str) -> Option<Ids> {
    let (wanted, given) = (template.split('/'), path.split('/'));
    if wanted.clone().count() != given.clone().count() {
        return None;
    }
    let mut ids = Vec::new();
    for (want, have) in wanted.zip(given) {
        match want.split_once('{') {
            Some((before, rest)) => {
                let (name, after) = rest.split_once('}')?;
                let id = have.strip_prefix(before)?.strip_suffix(after)?;
                if id.is_empty() {
                    return None;
                }
                ids.push((name.to_owned(), id.to_owned()));
            }
            None if want == have => {}
            None => return None,
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls.json";
    const CALL: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls/CA0123456789abcdef0123456789abcdef.json";

    const GOOD: [(&str, &str); 8] = [
        ("To", "+14155550123"),
        ("From", "+14155550100"),
        ("Url", "https://dialer.example/answer"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "completed"),
        ("Timeout", "30"),
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
    ];

    fn with(field: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
        GOOD.into_iter().filter(|(name, _)| *name != field.0).chain([field]).collect()
    }

    #[test]
    fn good_requests_pass() {
        let Some(validator) = Validator::load() else { return };
        assert_eq!(validator.validate("POST", CALLS, &GOOD), Ok(()));
        assert_eq!(validator.validate("POST", CALL, &[("Status", "completed")]), Ok(()));
        assert_eq!(validator.validate("GET", CALL, &[]), Ok(()));
        assert_eq!(validator.validate("GET", CALLS, &[("To", "+14155550123"), ("PageSize", "50")]), Ok(()));
    }

    #[test]
    fn each_mistake_is_named() {
        let Some(validator) = Validator::load() else { return };
        let bad = |method: &str, path: &str, fields: &[(&str, &str)], names: &str| {
            let complaints = validator.validate(method, path, fields).expect_err(names);
            assert!(complaints.iter().any(|why| why.contains(names)), "{names}: {complaints:?}");
        };
        bad("POST", CALLS, &with(("StatusCalback", "https://x.example")), "StatusCalback");
        bad("POST", CALLS, &with(("Timeout", "soon")), "Timeout");
        bad("POST", CALLS, &with(("AsyncAmd", "true ")).repeat(2), "To: given 2 times");
        bad("POST", CALLS, &with(("MachineDetection", "Yes")), "MachineDetection");
        bad("POST", CALLS, &with(("StatusCallbackEvent", "picked-up")), "StatusCallbackEvent");
        bad("POST", CALLS, &with(("Method", "FETCH")), "Method");
        bad("POST", CALLS, &GOOD[1..], "To: is required");
        bad("POST", CALLS, &GOOD[..2], "one of Url");
        bad("POST", CALL, &[("Status", "finished")], "Status");
        bad("POST", &CALL.replace("/CA0", "/XX0"), &[("Status", "completed")], "Sid");
        bad("GET", CALLS, &[("Too", "+14155550123")], "Too");
        bad("PUT", CALLS, &[], "put");
        bad("POST", "/2010-04-01/Nothing.json", &[], "no path");
    }

    #[test]
    fn a_path_gives_its_ids() {
        let found = ids("/A/{AccountSid}/Calls/{Sid}.json", "/A/AC1/Calls/CA2.json").expect("fits");
        assert_eq!(found, [("AccountSid".into(), "AC1".into()), ("Sid".into(), "CA2".into())]);
        assert_eq!(ids("/A/{Sid}.json", "/A/x.xml"), None);
        assert_eq!(ids("/A/{Sid}.json", "/A/.json"), None);
    }
}
