//! Fuzz target of what Twilio is answered: whatever a name, a variable or a model says, it stays text.

use std::sync::{Arc, LazyLock};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::agents::Book;
use crate::base::fuzz::texts;
use crate::carrier::twilio::urls::{Urls, Via};
use crate::carrier::twilio::wire::CallbackForm;
use crate::conversation::bridge_line;
use crate::domain::agent::Agent;
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::ids::CallId;
use crate::domain::talk::{Act, SayKind};
use crate::transport::gather::heard;
use crate::transport::markup::{self, Place};

static AGENT: LazyLock<Arc<Agent>> = LazyLock::new(|| {
    Book::embedded()
        .ok()
        .and_then(|book| book.get("interview"))
        .unwrap_or_else(|| unreachable!("it is embedded"))
});

/// The texts of an input are what is said, hinted, shown and connected; the verbs of the answer are ours alone.
pub(crate) fn twiml(data: &[u8]) {
    let mut parts = texts(data);
    let mut text = || parts.next().unwrap_or_default();
    let (one, two, hint, number, caller) = (text(), text(), text(), text(), text());
    let mut agent = Agent::clone(&AGENT);
    (agent.definition.voice, agent.definition.language) = (text(), text());
    agent.definition.hints = std::iter::once(hint).chain(parts).collect();

    let urls = Urls::new("https://x.test").unwrap_or_else(|why| unreachable!("{why}"));
    let call = CallId::derived(crate::domain::ids::Shard(7), "a call");
    let place = Place { urls: &urls, call: &call, attempt: 1, next: 2, caller_id: &caller };
    let say = |text: &str| Act::Say { text: text.to_owned(), kind: SayKind::Content };
    let acts = [
        say(&one),
        Act::Ask { timeout_s: 5 },
        say(&two),
        Act::Transfer { to: number.clone() },
        say(&one),
        Act::HangUp { ending: Ending::new(Disposition::Completed, "done") },
    ];
    let xml = markup::render(&acts, &agent, &place);
    let read = read(&xml);
    assert_eq!(read.verbs, ["Response", "Gather", "Redirect", "Dial", "Number", "Hangup"], "{xml}");
    let plain: String =
        number.chars().filter(|c| legal(*c)).map(|c| if c == '\t' { ' ' } else { c }).collect();
    assert_eq!(squeezed(&read.number), squeezed(&plain), "another number than the one given");
    assert!(xml.len() < 64_000, "{} bytes", xml.len());

    let variables = [("name".to_owned(), one), ("company".to_owned(), two)].into();
    let line = bridge_line(&AGENT, 0, &variables);
    assert_eq!(
        self::read(&markup::bridge(&line, Some(&agent), "https://x.test/a?b=1&c=2")).verbs,
        ["Response", "Redirect"]
    );
    assert_eq!(self::read(&markup::goodbye(Some(&line))).verbs, ["Response", "Hangup"]);

    let form = CallbackForm::parse(data);
    for via in [Via::Heard, Via::Silence, Via::Bridge, Via::Fallback, Via::Transfer, Via::Machine] {
        let heard = heard(&via, 1, &form);
        let again = serde_json::to_string(&heard).ok().and_then(|text| serde_json::from_str(&text).ok());
        assert_eq!(again.as_ref(), Some(&heard), "what was heard is not read back");
    }
}

/// What an independent parser finds: every element but `Say`, and the number dialed.
struct Read {
    verbs: Vec<String>,
    number: String,
}

fn read(xml: &str) -> Read {
    assert!(xml.chars().all(legal), "{xml:?}");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut verbs, mut number, mut open) = (Vec::new(), String::new(), Vec::<String>::new());
    let mut begun = |start: &BytesStart<'_>| {
        let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        for attribute in start.attributes() {
            let value = attribute.unwrap_or_else(|why| panic!("{why}: {xml}"));
            assert!(value.unescape_value().is_ok_and(|value| value.chars().all(legal)), "{xml}");
        }
        if name != "Say" {
            verbs.push(name.clone());
        }
        name
    };
    loop {
        match reader.read_event().unwrap_or_else(|why| panic!("{why}: {xml}")) {
            Event::Start(start) => open.push(begun(&start)),
            Event::Empty(start) => drop(begun(&start)),
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                let within = open.last().map(String::as_str);
                assert!(
                    matches!(within, Some("Say" | "Number" | "Redirect")),
                    "text within {within:?}: {xml}"
                );
                if within == Some("Number") {
                    number.push_str(&String::from_utf8_lossy(&text));
                }
            }
            // An escaped character.
            Event::GeneralRef(name) => {
                let name = String::from_utf8_lossy(&name).into_owned();
                let c = match name.as_str() {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "apos" => '\'',
                    _ => panic!("the entity {name}: {xml}"),
                };
                if open.last().is_some_and(|name| name == "Number") {
                    number.push(c);
                }
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("{other:?}: {xml}"),
        }
    }
    assert!(open.is_empty(), "{xml}");
    Read { verbs, number }
}

/// May it stand in XML 1.0? Control characters that it would allow are of no use to a voice.
fn legal(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
