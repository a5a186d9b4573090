//! Fuzz target of the interview's tools: whatever the callee says and the model asks for.

use futures::FutureExt as _;
use serde_json::Value;

use super::dates::{self, Date};
use super::{BLUEPRINT, callback, conclude, observe, state};
use crate::base::fuzz::texts;
use crate::domain::agent::{CallTimes, Conclusion, Observed, StateView, ToolContext};
use crate::domain::disposition::{Disposition, Ending};
use crate::domain::talk::{Act, Heard, Line, Speaker};

/// November 18, 2026.
const NOW: u64 = 1_795_000_000_000;
/// Steps of one input.
const STEPS: usize = 24;

/// An input is a draft (JSON) and steps of three texts each: what is heard, a tool's name, its arguments (JSON). No tool
/// fails, none names a number to call, and what comes of it all can be written down.
pub(crate) fn tools(data: &[u8]) {
    let mut parts = texts(data);
    let draft = parts.next().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let tools = (BLUEPRINT.tools)();
    let mut context = ToolContext {
        draft,
        turn: 0,
        heard: String::new(),
        consent: Some(true),
        now: NOW,
        times: CallTimes::always("America/New_York"),
        variables: [].into(),
        acts: Vec::new(),
        notes: Vec::new(),
    };
    let (mut lines, mut last_args) = (Vec::new(), Value::Null);
    while let Some(said) = parts.next().filter(|_| lines.len() < STEPS) {
        let (name, args) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        context.turn += 1;
        context.heard.clone_from(&said);
        let _ = dates::parse(&said, Date::today(NOW));
        if let Ok(resolved) = callback::resolve(&said, NOW, &context.times) {
            assert!(resolved.at > NOW, "called back in the past");
        }
        let question = view(&context)["ask"].as_str().unwrap_or_default().to_owned();
        let heard = Heard::Speech { text: said.clone(), confidence: Some(0.9) };
        let observed = Observed {
            turn: context.turn,
            heard: &heard,
            question: &question,
            consent: context.consent,
            now: NOW,
        };
        let observation = observe(&mut context.draft, &observed);
        assert!((0.0..=10.0).contains(&observation.score), "a score of {}", observation.score);
        lines.push(Line {
            turn: context.turn,
            attempt: 1,
            speaker: Speaker::Callee,
            text: said,
            at: NOW,
            confidence: None,
        });
        // By its name, or by a number, which a fuzzer finds sooner.
        let at = name.parse::<usize>().ok();
        let tool = tools.iter().enumerate().find(|(i, tool)| tool.name() == name || at == Some(*i));
        let Some((_, tool)) = tool else { continue };
        last_args = serde_json::from_str(&args).unwrap_or(Value::Null);
        let answer = tool.call(&last_args, &mut context).now_or_never();
        assert!(answer.is_some_and(|answer| answer["ok"].is_boolean()), "{name} gives no answer");
        let calls = context.acts.iter().filter(|act| matches!(act, Act::Transfer { .. } | Act::Ask { .. }));
        assert_eq!(calls.count(), 0, "{name} connects somebody by itself");
        assert!(context.acts.len() + context.notes.len() < 4 * STEPS);
    }
    let _ = view(&context);
    let ending = Ending::new(Disposition::Completed, "done");
    for extraction in [None, Some(&last_args)] {
        let outcome = conclude(&Conclusion {
            draft: &context.draft,
            lines: &lines,
            extraction,
            phone_hash: "a1b2c3d4",
            consent: Some(true),
            ending: &ending,
            now: NOW,
        });
        let score = outcome.adversarial_score.unwrap_or(0.0);
        assert!((0.0..=10.0).contains(&score), "a score of {score}");
    }
}

fn view(context: &ToolContext) -> Value {
    let view = StateView {
        draft: &context.draft,
        consent: context.consent,
        now: context.now,
        variables: &context.variables,
    };
    state(&view)
}
