//! A turn's answer as it is kept for a request that comes again. The words that it speaks stand in the transcript, so that
//! of a sentence only its length is kept beside them: `[57,8,{"act":"ask","timeout_s":6}]`.

use serde::{Deserialize, Serialize};

use crate::domain::talk::{Act, Line, SayKind, Speaker};

/// Lines of the transcript in which the words of an answer are looked for, from its end.
pub(super) const LINES: i64 = 8;

/// One act.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    /// A sentence: so many characters of the agent's line of that turn, a blank before the next.
    Sentence(usize),
    /// As it is.
    Act(Act),
}

fn words_of(lines: &[Line], (attempt, n): (u32, u32)) -> Option<&str> {
    let ours = |line: &&Line| (line.speaker, line.attempt, line.turn) == (Speaker::Agent, attempt, n);
    lines.iter().rfind(ours).map(|line| line.text.as_str())
}

/// The answer of a turn whose commit adds `lines`, as it is kept.
pub(super) fn encode(acts: &[Act], turn: (u32, u32), lines: &[Line]) -> String {
    let sentence = |act: &Act| match act {
        Act::Say { text, kind: SayKind::Content } => Some(text.chars().count()),
        _ => None,
    };
    let kept: Vec<Kept> =
        acts.iter().map(|act| sentence(act).map_or_else(|| Kept::Act(act.clone()), Kept::Sentence)).collect();
    let short = serde_json::to_string(&kept).unwrap_or_default();
    // The line is these sentences and nothing else, or the words are kept here too.
    if decode(&short, turn, lines).as_deref() == Some(acts) {
        return short;
    }
    serde_json::to_string(acts).unwrap_or_default()
}

/// The answer that was kept, beside the transcript's last lines. Words that the transcript has no longer are left out:
/// what may not be kept of a talk is not said again either. `None`: it is no answer of ours.
pub(super) fn decode(text: &str, turn: (u32, u32), lines: &[Line]) -> Option<Vec<Act>> {
    let kept: Vec<Kept> = serde_json::from_str(text).ok()?;
    let mut words = words_of(lines, turn).unwrap_or_default().chars();
    let mut acts = Vec::with_capacity(kept.len());
    for one in kept {
        match one {
            Kept::Act(act) => acts.push(act),
            Kept::Sentence(length) => {
                let text: String = words.by_ref().take(length).collect();
                words.next();
                if !text.is_empty() {
                    acts.push(Act::Say { text, kind: SayKind::Content });
                }
            }
        }
    }
    Some(acts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::disposition::{Disposition, Ending};

    fn say(text: &str) -> Act {
        Act::Say { text: text.to_owned(), kind: SayKind::Content }
    }

    fn line(turn: u32, speaker: Speaker, text: &str) -> Line {
        Line { turn, attempt: 1, speaker, text: text.to_owned(), at: 1, confidence: None }
    }

    #[test]
    fn words_are_kept_once() {
        let ask = Act::Ask { timeout_s: 6 };
        let over = Act::HangUp { ending: Ending::new(Disposition::Completed, "limit") };
        let bridge = Act::Say { text: "One moment.".into(), kind: SayKind::Bridge };
        let lines = [
            line(3, Speaker::Agent, "And before?"),
            line(4, Speaker::Callee, "Schön. Wo?"),
            line(4, Speaker::Agent, "Schön, danke. Und wo? 👍"),
        ];
        let spoken = [say("Schön, danke."), say("Und wo?"), say("👍"), ask.clone()];
        let kept = encode(&spoken, (1, 4), &lines);
        assert_eq!(kept, r#"[13,7,1,{"act":"ask","timeout_s":6}]"#);
        assert_eq!(decode(&kept, (1, 4), &lines).as_deref(), Some(&spoken[..]));
        // What was said to others later does not stand in for it, nor what is no longer there.
        let mut later = lines.to_vec();
        later.push(line(5, Speaker::Agent, "Goodbye."));
        assert_eq!(decode(&kept, (1, 4), &later).as_deref(), Some(&spoken[..]));
        assert_eq!(decode(&kept, (2, 4), &later), Some(vec![ask.clone()]));
        assert_eq!(decode(&kept, (1, 4), &[]), Some(vec![ask.clone()]));

        // Whatever the line does not hold word for word is kept whole, as it always was.
        for acts in [
            vec![say("Schön, danke."), bridge, say("Und wo? 👍"), ask.clone()],
            vec![say("Something else altogether."), ask.clone()],
            vec![say(""), ask.clone()],
            vec![ask, over],
            Vec::new(),
        ] {
            let kept = encode(&acts, (1, 4), &lines);
            assert_eq!(decode(&kept, (1, 4), &lines), Some(acts.clone()), "{kept}");
            let before = serde_json::to_string(&acts).unwrap();
            assert_eq!(decode(&before, (1, 4), &lines), Some(acts), "as it was written before");
        }
        assert_eq!(decode("{}", (1, 4), &lines), None);
    }
}
