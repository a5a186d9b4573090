//! Evidence inside a record: its own field names would take a tenth of a live call. An object is written as a list of one
//! object with short names; an object that stands there as it is was written before, or has names that would be mistaken.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Names as they are told, and as they are written.
const NAMES: [(&str, &str); 11] = [
    ("open_until", "u"),
    ("window", "w"),
    ("hours", "h"),
    ("campaign_hours", "c"),
    ("region", "g"),
    ("rules", "r"),
    ("rules_version", "v"),
    ("zones", "z"),
    ("zones_from", "f"),
    ("local", "l"),
    ("zone", "n"),
];

fn short(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(told, _)| *told == name).map(|(_, short)| *short)
}

fn told(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(_, short)| *short == name).map(|(told, _)| *told)
}

fn renamed(value: &Value, name: fn(&str) -> Option<&'static str>) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                (name(key).map_or_else(|| key.clone(), str::to_owned), renamed(value, name))
            };
            Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| renamed(item, name)).collect()),
        other => other.clone(),
    }
}

/// Does a name of it stand for another?
fn ambiguous(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| told(key).is_some() || ambiguous(value)),
        Value::Array(items) => items.iter().any(ambiguous),
        _ => false,
    }
}

pub(super) fn serialize<S: Serializer>(evidence: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
    match evidence {
        Some(value) if value.is_object() && !ambiguous(value) => [renamed(value, short)].serialize(to),
        other => other.serialize(to),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Ok(match Option::<Value>::deserialize(from)? {
        Some(Value::Array(packed)) if packed.len() == 1 && packed[0].is_object() => {
            Some(renamed(&packed[0], told))
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::call::{Call, State};
    use crate::domain::ids::CallId;

    #[derive(Serialize, Deserialize)]
    struct Holder {
        #[serde(default, with = "super")]
        e: Option<Value>,
    }

    #[test]
    fn evidence_is_written_short_and_read_as_it_was() {
        let whole = json!({
            "open_until": "2026-12-01T06:59:25.000Z",
            "window": {"hours": "08:00-21:00", "campaign_hours": "09:00-12:00", "region": "US-AZ", "rules": ["window"],
                       "rules_version": "1", "zones": [{"local": "2026-11-21T16:29:47-07:00", "zone": "America/Phoenix"}],
                       "zones_from": "number"},
            "consent": {"basis": "written", "at": "2026-01-01", "source": "form"},
        });
        for (evidence, packed) in [
            (Some(whole.clone()), true),
            (Some(json!({"u": 1, "window": 2})), false),
            (Some(json!({"a": [{"w": 1}]})), false),
            (Some(json!("words")), false),
            (None, false),
        ] {
            let text = serde_json::to_string(&Holder { e: evidence.clone() }).unwrap();
            assert_eq!(text.contains("[{\"consent\""), packed, "{text}");
            assert!(!packed || text.len() + 60 < whole.to_string().len(), "{text}");
            let read: Holder = serde_json::from_str(&text).unwrap();
            assert_eq!(read.e, evidence, "{text}");
        }
        let before: Holder = serde_json::from_str(&json!({ "e": whole }).to_string()).unwrap();
        assert_eq!(before.e, Some(whole));
    }

    #[test]
    fn a_record_with_long_names_is_read_and_written_with_short_ones() {
        let id = CallId::parse("call_170351i9M1HVAtOmhbwzXzYN").unwrap();
        let head = "0000000600000001fd3115e2P1795306580340d98dfb76e5cb8a9c2388fa01-";
        let before = format!(
            "{head}\n{}",
            json!({
                "s": {"is": "in_progress", "sid": "CA1", "answered_by": "human"}, "p": "+17042000316", "t": 1, "a": 2,
                "e": {"open_until": "2026-12-01T06:59:25.000Z", "window": {"hours": "08:00-21:00"}},
                "g": {"turn": 2, "consent": true, "consent_turn": 1, "adversarial_score": 1.5},
            })
        );
        let call = Call::decode(&id, &before).unwrap();
        let State::InProgress { sid, answered_by } = &call.state else { panic!("{:?}", call.state) };
        assert_eq!((sid.as_str(), answered_by.as_deref()), ("CA1", Some("human")));
        let dialogue = &call.body.dialogue;
        assert_eq!((dialogue.turn, dialogue.consent, dialogue.consent_turn), (2, Some(true), Some(1)));
        assert_eq!(dialogue.adversarial_score, Some(1.5));
        assert_eq!(call.body.evidence.as_ref().unwrap()["window"]["hours"], "08:00-21:00");
        let now = call.encode();
        assert!(now.len() + 60 < before.len(), "{now}");
        assert_eq!(Call::decode(&id, &now).unwrap(), call);
    }
}
