//! An agent's own notes of a call. Their shape belongs to the agent; to everybody else they are a text that is stored,
//! copied and handed on, so they stay the JSON text that Redis holds until the agent reads them.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The notes, as JSON. Cheap to clone. None were made: `null`.
#[derive(Clone, Default)]
pub struct Draft(Option<Arc<RawValue>>);

impl Draft {
    /// Notes of any shape that JSON can hold; what it cannot hold leaves none.
    #[must_use]
    pub fn of(notes: &impl Serialize) -> Self {
        serde_json::value::to_raw_value(notes).map_or_else(|_| Self::default(), Self::new)
    }

    fn new(raw: Box<RawValue>) -> Self {
        Self((raw.get() != "null").then(|| raw.into()))
    }

    /// Were none made?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The notes as the agent knows them; those of another shape, or none, are its first ones.
    #[must_use]
    pub fn read<T: DeserializeOwned + Default>(&self) -> T {
        self.0.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The notes as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        self.read()
    }

    fn text(&self) -> &str {
        self.0.as_ref().map_or("null", |raw| raw.get())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Equal are notes that say the same, in whatever order.
impl PartialEq for Draft {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() || self.value() == other.value()
    }
}

impl Serialize for Draft {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(from).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Notes {
        name: String,
        n: u8,
    }

    #[test]
    fn notes_are_read_as_they_were_made() {
        let notes = Notes { name: "Ann \"O\"".into(), n: 3 };
        let draft = Draft::of(&notes);
        assert_eq!(draft.read::<Notes>(), notes);
        assert_eq!(draft.value(), json!({"n": 3, "name": "Ann \"O\""}));
        assert_eq!(draft, Draft::of(&json!({"n": 3, "name": "Ann \"O\""})), "in whatever order");
        assert_ne!(draft, Draft::default());
    }

    #[test]
    fn notes_of_another_shape_are_the_first_ones() {
        for other in [json!([1, 2]), json!("x"), json!({"name": 7}), Value::Null] {
            assert_eq!(Draft::of(&other).read::<Notes>(), Notes::default(), "{other}");
        }
        assert!(Draft::of(&Value::Null).is_empty() && Draft::default().is_empty());
    }

    #[test]
    fn they_are_stored_as_json_within_json() {
        let inside = json!({"a": 1, "draft": {"b": [true, null]}});
        let draft: Draft = serde_json::from_value(inside["draft"].clone()).unwrap();
        assert_eq!(serde_json::to_string(&draft).unwrap(), r#"{"b":[true,null]}"#);
        assert_eq!(serde_json::to_value(&draft).unwrap(), inside["draft"]);
        let from_text: Draft = serde_json::from_str(r#"{"b" : [true,null]}"#).unwrap();
        assert_eq!(from_text, draft);
        assert_eq!(serde_json::to_string(&Draft::default()).unwrap(), "null");
        assert!(serde_json::from_str::<Draft>(" null ").unwrap().is_empty());
        assert!(serde_json::from_str::<Draft>("{\"b\": ").is_err());
    }
}
