//! Acts as one TwiML document.

use crate::carrier::twilio::twiml::{Dial, Doc, Gather, Voice};
use crate::carrier::twilio::urls::Urls;
use crate::domain::agent::Agent;
use crate::domain::ids::CallId;
use crate::domain::talk::Act;

/// Seconds a transferred phone rings.
const TRANSFER_RING_S: u32 = 30;

/// Where a document stands: the call, and the turn that comes next.
pub(super) struct Place<'a> {
    pub(super) urls: &'a Urls,
    pub(super) call: &'a CallId,
    pub(super) attempt: u32,
    /// The number of the turn that the document asks for.
    pub(super) next: u32,
    pub(super) caller_id: &'a str,
}

fn voice(agent: &Agent) -> Voice<'_> {
    Voice { name: &agent.definition.voice, language: &agent.definition.language }
}

/// The acts of a turn. What is said before listening stands inside the gather, so that the callee may speak into it.
pub(super) fn render(acts: &[Act], agent: &Agent, place: &Place<'_>) -> String {
    let mut doc = Doc::new();
    let mut said: Vec<&str> = Vec::new();
    let flush = |mut doc: Doc, said: &mut Vec<&str>| {
        for text in said.drain(..) {
            doc = doc.say(voice(agent), text);
        }
        doc
    };
    for act in acts {
        match act {
            Act::Say { text, .. } => said.push(text),
            Act::Ask { timeout_s } => {
                let action = place.urls.turn(place.call, place.attempt, place.next);
                doc = doc.gather(&Gather {
                    action: &action,
                    timeout_s: *timeout_s,
                    hints: &agent.definition.hints,
                    language: &agent.definition.language,
                    num_digits: Some(1),
                    say: &said,
                    voice: voice(agent),
                });
                said.clear();
                doc = doc.redirect(&place.urls.silence(place.call, place.attempt, place.next));
            }
            Act::Transfer { to } => {
                doc = flush(doc, &mut said);
                let action = place.urls.transfer_ended(place.call, place.attempt, place.next);
                let status_url = place.urls.transfer_status(place.call, place.attempt);
                doc = doc.dial(&Dial {
                    number: to,
                    action: &action,
                    timeout_s: TRANSFER_RING_S,
                    caller_id: place.caller_id,
                    status_url: &status_url,
                });
            }
            Act::HangUp { .. } => doc = flush(doc, &mut said).hangup(),
        }
    }
    flush(doc, &mut said).finish()
}

/// A bridge line, and the same turn again.
pub(super) fn bridge(line: &str, agent: Option<&Agent>, again: &str) -> String {
    let voice = agent.map_or(Voice { name: "Polly.Joanna-Neural", language: "en-US" }, voice);
    Doc::new().say(voice, line).redirect(again).finish()
}

/// The end, without a word or with one.
pub(super) fn goodbye(line: Option<&str>) -> String {
    let voice = Voice { name: "Polly.Joanna-Neural", language: "en-US" };
    let doc = Doc::new();
    line.map_or_else(Doc::new, |line| doc.say(voice, line)).hangup().finish()
}
