//! The table of the adversarial score: what a single turn is given, and how the score moves over a call.

use super::*;

fn reasons(question: &str, answer: &str) -> String {
    let mut score = Score::default();
    score.hear(Heard { turn: 1, question, answer, may_repeat: false });
    score.points().iter().map(|p| p.reason.as_str()).collect::<Vec<_>>().join(" ")
}

const TELL: &str = "Thanks. What did you do there?";
const YES_NO: &str = "Are you working at the moment?";
const WHEN: &str = "When did you start there?";

#[test]
fn a_turn_by_its_words() {
    let cases = [
        // plain answers get nothing
        (TELL, "I drove a forklift and loaded trucks.", ""),
        (WHEN, "2015", ""),
        (WHEN, "March", ""),
        ("May I have your name?", "Bob", ""),
        ("What was your job title there?", "Welder", ""),
        ("Where did you work before?", "Walmart", ""),
        (YES_NO, "No.", ""),
        (YES_NO, "No", ""),
        (YES_NO, "Yes", ""),
        (YES_NO, "Nope", ""),
        ("Have you ever worked in retail?", "Never", ""),
        ("Is that right?", "No, I left in 2012.", ""),
        ("And are you still there?", "Yep", ""),
        ("", "", ""),
        // words as words
        (YES_NO, "No problem", ""),
        (TELL, "I worked nonstop for two years.", ""),
        (TELL, "It was a bus stop, I cleaned it.", ""),
        (TELL, "I know Excel.", ""),
        (TELL, "I assembled classical pianos in Scunthorpe.", ""),
        (TELL, "I worked for a hello kitty shop", ""),
        (TELL, "I had to stop working in 2010.", ""),
        (TELL, "I was refused a raise so I left.", ""),
        (TELL, "My business was none too busy.", ""),
        // one word, to open questions only
        (TELL, "Stuff.", "one_word"),
        (TELL, "Welding", "one_word"),
        ("Tell me about your work there.", "Fine", "one_word"),
        ("Why did you leave?", "Money", "one_word"),
        ("How was that?", "Okay", "one_word"),
        (TELL, "No", "one_word"),
        ("How many people did you lead?", "Twelve", ""),
        ("How long were you there?", "Forever", ""),
        // evasion
        (WHEN, "I don't know.", "evasion"),
        (WHEN, "Dunno", "evasion"),
        (WHEN, "I don't know exactly, 2015 I think.", ""),
        (WHEN, "I have no idea, man.", "evasion"),
        (TELL, "Why do you need that?", "evasion"),
        (TELL, "Why do you need to know? I was a cook.", "evasion"),
        (TELL, "I'd rather not say.", "evasion"),
        (TELL, "That\u{2019}s private.", "evasion"),
        (TELL, "This and that", "evasion"),
        (TELL, "I do not know much about trucks but I drove one for years", ""),
        ("Who are you?", "Who are you and is this a robot?", ""),
        (TELL, "That's a bit personal.", "evasion"),
        // refusal
        (TELL, "I'm not telling you.", "refusal"),
        (TELL, "None of your business.", "refusal"),
        (TELL, "I won't answer that", "refusal"),
        (TELL, "I'm not interested.", "refusal"),
        (TELL, "Not interested", "refusal"),
        (TELL, "I was not interested in retail, so I went into welding.", ""),
        (TELL, "No way", "refusal"),
        // hostility and insult
        (TELL, "Stop wasting my time!", "hostility"),
        (TELL, "Leave me alone.", "hostility"),
        (TELL, "Shut up, you idiot.", "insult hostility"),
        (TELL, "You are so stupid", "insult"),
        (TELL, "Idiot!", "insult"),
        (TELL, "You people are idiots.", "insult"),
        (TELL, "Mind your own damn business.", "refusal"),
        (TELL, "Why don't you get a real job?", "hostility"),
        (TELL, "Stupid robot, go on.", "insult"),
        (TELL, "This is a stupid question", "insult"),
        (TELL, "This is stupid", "insult"),
        (TELL, "Fuck off", "insult"),
        (TELL, "My boss was an idiot, so I left.", ""),
        (TELL, "I felt stupid there and quit", ""),
        (TELL, "You know I felt stupid there", ""),
        (TELL, "Go to hell and none of your business", "insult refusal"),
        // mockery and nonsense
        (TELL, "Beep boop, I am a human.", "mockery"),
        (TELL, "I am the king of France.", "mockery"),
        (TELL, "I worked on the moon", "mockery"),
        (TELL, "banana banana banana", "mockery"),
        (TELL, "Haha", "mockery"),
        (TELL, "Haha, well, I drove a truck for ten years.", ""),
        (TELL, "no no no, I was a cook", ""),
        (TELL, "I was a king crab fisher", ""),
    ];
    assert!(cases.len() >= 60);
    for (question, answer, expected) in cases {
        assert_eq!(reasons(question, answer), expected, "{question} / {answer}");
    }
}

fn talk(turns: &[(&str, &str)]) -> Score {
    let mut score = Score::default();
    for (turn, (question, answer)) in (1..).zip(turns) {
        score.hear(Heard { turn, question, answer, may_repeat: false });
    }
    score
}

fn last(turns: &[(&str, &str)]) -> String {
    let score = talk(turns);
    let turn = u32::try_from(turns.len()).unwrap_or(u32::MAX);
    let of_last = score.points().iter().filter(|p| p.turn == turn);
    of_last.map(|p| p.reason.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_turn_against_the_turns_before() {
    let acme = "Have you worked at Acme?";
    let cases: [(&[(&str, &str)], &str); 12] = [
        (&[(TELL, "I drove trucks."), ("What are your skills?", "I drove trucks.")], "repetition"),
        (&[(TELL, "I drove trucks."), (TELL, "I drove trucks.")], ""),
        (&[(YES_NO, "Yes"), (acme, "Yes")], ""),
        (&[(WHEN, "2015"), ("When did you leave?", "2015")], ""),
        (&[(TELL, "I don't know"), ("What are your skills?", "I don't know")], "evasion repetition"),
        (
            &[
                ("What were you doing between 1977 and 1985?", "I was in prison."),
                ("And what were you doing between 1985 and 1995?", "I was in prison."),
            ],
            "",
        ),
        (&[(acme, "Yes, I did"), (TELL, "I cooked there."), (acme, "No")], "contradiction"),
        (&[(acme, "No"), (acme, "Yes")], "contradiction"),
        (&[(acme, "No"), (acme, "Sorry, yes I have")], ""),
        (&[(acme, "Yes"), (acme, "Yes")], ""),
        (&[("Did you work anywhere before that?", "Yes"), ("Did you work anywhere before that?", "No")], ""),
        (&[("Is that all right with you?", "No problem"), ("Is that all right with you?", "Yes")], ""),
    ];
    for (turns, expected) in cases {
        assert_eq!(last(turns), expected, "{turns:?}");
    }
}

#[test]
fn it_rises_fast_and_falls_slowly() {
    let calm = (TELL, "I drove a forklift and loaded trucks all day.");
    let score = talk(&[calm, calm, calm]);
    assert_eq!((score.value(), score.level()), (0.0, Level::Low));

    let insult = (TELL, "You are an idiot.");
    assert_eq!(talk(&[insult]).level(), Level::Medium);
    assert_eq!(talk(&[insult, insult]).level(), Level::High);
    assert!(talk(&[insult, insult]).is_hopeless() && !talk(&[insult]).is_hopeless());

    let refusal = (TELL, "None of your business.");
    assert_eq!(talk(&[refusal]).level(), Level::Medium);
    assert!(talk(&[refusal, refusal, refusal]).is_hopeless());
    assert!(!talk(&[refusal, calm, calm, refusal]).is_hopeless());

    // evasion alone makes the interviewer soft and never ends a call
    let evasion = (TELL, "Why do you need that?");
    let evasive = talk(&[evasion; 20]);
    assert!(evasive.value() > 3.0 && !evasive.is_hopeless(), "{}", evasive.value());

    let risen = talk(&[insult]).value();
    let fallen = talk(&[insult, calm]).value();
    assert!(risen - fallen < risen / 5.0 && fallen > 0.0);
    assert!(talk(&[insult; 30]).value() <= 10.0);
}

#[test]
fn one_word_answers_alone_stay_low() {
    let turns: Vec<(&str, String)> =
        (0..20).map(|i| (TELL, format!("word{}", char::from(b'a' + i)))).collect();
    let turns: Vec<(&str, &str)> = turns.iter().map(|(q, a)| (*q, a.as_str())).collect();
    assert_eq!(talk(&turns).level(), Level::Low);
}

#[test]
fn a_turn_counts_once() {
    let mut score = talk(&[(TELL, "You are an idiot.")]);
    let before = score.clone();
    score.hear(Heard { turn: 1, question: TELL, answer: "You are an idiot.", may_repeat: false });
    assert_eq!(score, before);
    score.contradiction(1);
    score.contradiction(1);
    assert_eq!(score.points().len(), 2);
}
