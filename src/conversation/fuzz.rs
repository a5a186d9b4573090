//! Fuzz target of words: what a callee says to the guards, what a model says to the callee.

use std::collections::BTreeMap;

use crate::base::fuzz::texts;
use crate::conversation::guard::numbers::strip_phones;
use crate::conversation::guard::{consent, machine, optout};
use crate::conversation::render::{clean, one_line};
use crate::conversation::speech::{Filter, Splitter, sentences, shorten};

/// Nothing said stops a guard; nothing spoken holds what it must not, however it is written.
pub(crate) fn speech(data: &[u8]) {
    let mut parts = texts(data);
    let (said, known) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let _ = (optout::opts_out(&said), optout::keys_opt_out(&said));
    let _ = (consent::classify(&said), consent::classify_keys(&said));
    let _ = (machine::speaks(&said, false), machine::speaks(&said, true));

    let mut by_character = Splitter::default();
    let mut cut: Vec<String> = Vec::new();
    for c in said.chars() {
        cut.extend(by_character.push(c.encode_utf8(&mut [0; 4])));
    }
    cut.extend(by_character.finish());
    let cut: Vec<String> = cut.iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
    assert_eq!(cut, sentences(&said), "sentences depend on how the stream was cut");

    let filter = Filter { known: vec![known.clone()], tools: vec!["record_job".into(), "opt_out".into()] };
    for sentence in cut.iter().chain([&said]) {
        let Some(spoken) = filter.clean(sentence) else { continue };
        assert!(!spoken.contains(['<', '>', '{', '}', '\n', '\r', '\0']), "{spoken:?}");
        assert!(!spoken.to_lowercase().contains("://"), "{spoken:?}");
        assert_eq!(strip_phones(&spoken, &filter.known), spoken, "a foreign number is spoken");
        assert!(!spoken.contains("record_job"), "{spoken:?}");
        assert!(shorten(&spoken, 40).chars().count() <= 40);
    }

    let variables = BTreeMap::from([("name".to_owned(), said.clone())]);
    for text in clean(&variables).values().chain([&one_line(&said, 50)]) {
        assert!(!text.chars().any(char::is_control) && text.chars().count() <= 200, "{text:?}");
    }
}
