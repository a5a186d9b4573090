//! Fuzz targets of do-not-call lists coming in, and of the cursors of one going out.

use serde_json::Value;

use crate::api::fields::Fields;
use crate::api::fuzz::{body, on_app};
use crate::api::suppressions::entry::{self, Defaults, is_prefix};
use crate::api::suppressions::import;
use crate::api::suppressions::list::Place;
use crate::base::fuzz::choice;
use crate::domain::phone::Phone;
use crate::store::{Scope, Suppression};

/// Longer inputs fill a batch, which would be handed to the store.
const LONGEST: usize = 1_500;

/// However the network cuts a list, the same entries come of it, each a number or a prefix.
pub(crate) fn import(data: &[u8]) {
    let (way, rest) = choice(data);
    let (step, rest) = choice(rest);
    if rest.len() > LONGEST {
        return;
    }
    let defaults = Defaults { source: "import".into(), evidence: None, scope: Scope::Global };
    on_app(async |app| {
        if way % 2 == 0 {
            let whole = Box::pin(import::entries(app, body(rest, rest.len()), &defaults)).await;
            let pieces = Box::pin(import::entries(app, body(rest, usize::from(step)), &defaults)).await;
            assert_eq!(pieces, whole, "in pieces of {step}");
            whole.iter().for_each(sound);
        } else if let Ok(Value::Object(object)) = serde_json::from_slice(rest) {
            let now = app.api.clock.now();
            match entry::read(Fields::new("", object), app, &defaults, now) {
                Ok(entry) => sound(&entry),
                Err(errors) => assert!(!errors.is_empty(), "refused without a word"),
            }
        }
    });
}

fn sound(entry: &Suppression) {
    let shape =
        if entry.prefix { is_prefix(&entry.number) } else { Phone::from_e164(&entry.number).is_some() };
    assert!(shape, "an entry that forbids nothing");
}

/// A cursor that is read is written as it was.
pub(in crate::api) fn cursor(text: &str) {
    if let Some(place) = Place::parse(text) {
        let again = Place::parse(&place.text());
        assert!(again.is_some_and(|again| again.text() == place.text()));
    }
}
