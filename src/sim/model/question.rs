//! What a spoken question is about, told by its words alone. One reading for both ends of the simulated line: the people,
//! who must understand any interviewer, and the model, which must know what its last question was.

use super::dates::{self, Found, says};

/// What a question asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Topic {
    /// May we go on?
    Consent,
    /// The callee's name.
    Name,
    /// What the callee does now.
    Current,
    /// The job before some other.
    Previous,
    /// When a job began.
    Start,
    /// When a job ended.
    End,
    /// Both ends of a job.
    Dates,
    /// What the callee was, at some company.
    Title,
    /// Which company a job was with.
    Company,
    /// What happened in a stretch of time.
    Gap,
    /// Skills.
    Skills,
    /// School and degrees.
    Education,
    /// Was all that right?
    ReadBack,
    /// What was wrong, then?
    Correction,
    /// Anything else?
    More,
    /// An e-mail address.
    Email,
    /// Where the callee lives.
    City,
    /// Why a job ended.
    Reason,
    /// When to call again.
    CallbackTime,
    /// Are you there?
    Presence,
}

/// What was said, read.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What it asks for, in the order asked; empty where nothing is asked.
    pub topics: Vec<Topic>,
    /// The dates that were mentioned.
    pub dates: Vec<Found>,
    /// The interviewer says goodbye.
    pub goodbye: bool,
    /// A line to bridge a wait ("one moment, please"): nothing to answer.
    pub bridge: bool,
    /// The interviewer did not hear or not understand.
    pub repeat: bool,
}

impl Question {
    /// True where `topic` is asked for.
    #[must_use]
    pub fn asks(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }
}

const REQUESTS: &str = "tell me|let me know|could you|can you|would you|please say|please give|\
        i'd like to know|i would like to know|may i|describe|walk me through|\
        talk me through|i wonder";

/// Reads what an interviewer said.
#[must_use]
pub fn read(said: &str) -> Question {
    let text = dates::lower(said);
    let sentences = dates::sentences(said);
    let asked: Vec<&str> =
        sentences.iter().copied().filter(|s| s.ends_with('?') || says(&dates::lower(s), REQUESTS)).collect();
    let mut out = Question {
        dates: dates::find(said),
        goodbye: says(&text, "goodbye|good bye|bye|have a good|have a nice|have a great|take care"),
        repeat: says(
            &text,
            "didn't catch|did not catch|didn't hear|did not hear|didn't get that|\
            didn't understand|did not understand|say that again|repeat that|what was that|\
            did not get that|once more|couldn't hear|could not hear",
        ),
        ..Question::default()
    };
    let whole = out.dates.len();
    for sentence in &asked {
        for topic in topics(&dates::lower(sentence), dates::find(sentence).len(), whole) {
            if !out.topics.contains(&topic) {
                out.topics.push(topic);
            }
        }
    }
    if out.topics.is_empty() && asked.is_empty() && !out.goodbye {
        out.topics = topics(&text, whole, whole);
        out.topics.retain(|t| !matches!(t, Topic::Consent | Topic::Current | Topic::Gap));
    }
    // "Was it work, family, school or something else?" belongs to the question about the stretch.
    if out.asks(Topic::Gap) {
        out.topics = vec![Topic::Gap];
    }
    // A read-back holds every word of the other questions; it is one question still.
    if out.asks(Topic::ReadBack) {
        out.topics = vec![Topic::ReadBack];
    }
    out.bridge = out.topics.is_empty()
        && !out.goodbye
        && !out.repeat
        && says(
            &text,
            "one moment|just a moment|a moment|one second|just a second|a second|hold on|\
            bear with me|still with you|still here|let me note|let me write|let me think|\
            almost there|stay on the line|thanks for waiting|thank you for waiting|\
            thanks for your patience|thank you for your patience",
        );
    out
}

/// The topics of one question (lower case); `dates` in it, `around` it in all that was said.
fn topics(q: &str, dates: usize, around: usize) -> Vec<Topic> {
    use Topic::*;
    let has = |phrases: &str| says(q, phrases);
    let what = has("what|how come|tell me|doing|happened|did you do|were you|how did you spend");
    if has("what|which")
        && has("should i correct|should i change|is wrong|was wrong|should be|needs correcting|\
            is not right|isn't right|did i get wrong|to correct|to change")
    {
        return vec![Correction];
    }
    if has("is that right|is that correct|is this right|is this correct|is that all correct|\
            is that all right so|is everything right|is everything correct|did i get|\
            have i got|got that right|sound right|all correct|that correct|is it correct|\
            is all of that|is all that|anything to correct|anything wrong|\
            anything i should change|anything you would change|anything to change")
    {
        return vec![ReadBack];
    }
    if (has("are you there|are you still there|can you hear me") && !has("when|or|at"))
        || matches!(q.trim(), "hello?" | "hello")
    {
        return vec![Presence];
    }
    if has("when|what time|which time")
        && has("call you|call back|call again|we call|i call|ring you|suit you")
    {
        return vec![CallbackTime];
    }
    let mut out = Vec::new();
    let since = has("since|until today|until now|till now|up to now|to today|up to today|and today|\
            and now|the present");
    let stretch = dates >= 2
        || (dates == 1 && since)
        || (dates == 0
            && around >= 2
            && has("then|that time|those years|this time|that period|in between|meantime"));
    let gap = (stretch && what && !has("when did|when were")) || has("gap|time in between|in between");
    if gap {
        return vec![Gap];
    }
    if has("your name|what name|put down for you|full name|speaking with|speaking to|\
            talking to|call you by|what should i call you|who am i|first and last name")
    {
        out.push(Name);
    }
    let when = has("when|what year|which year|what month|which month|how long|dates|date|what time");
    let previous = has("before|prior to|previous|previously|earlier|other jobs|other job|any jobs|\
            work experience|came first|preceded|last job|most recent job|further back");
    if previous
        && !(when
            && has("when did|when were|what year did|how long")
            && !has("before that|before then|last job|most recent job"))
    {
        out.push(Previous);
        return out;
    }
    if when || has("since when|from when|until when") {
        let start = has("start|started|begin|began|join|joined|since when|from when|first day");
        let end = has("leave|left|end|ended|finish|finished|stop|stopped|until when|quit|still");
        out.push(match (start, end) {
            (true, false) => Start,
            (false, true) => End,
            _ => Dates,
        });
    }
    if has("why did you leave|reason for leaving|why did it end|why did that end|\
            how did it end|what made you leave")
    {
        out.push(Reason);
    }
    if has("which company|what company|name of the company|company's name|company name|\
            name of the employer|which employer|what employer|who was that with|\
            who did you work for|who was the employer|who was your employer|for whom|\
            who do you work for|what was the company|what is the company|\
            whom did you work for|which business|called, the company|who employed you|\
            which firm|where was that|who is your employer")
    {
        out.push(Company);
    }
    let now = has("at the moment|these days|right now|currently|for a living|are you working");
    let post = has(
        "what was your job|what is your job|what did you do there|what did you do at|what do you do at|\
         what do you do there|what was your work|as what|what kind of work|what sort of work|what work did you do|\
         what did you do for|what do you do for|what were you there|what exactly did you do",
    );
    if has("title|position|role") || (post && !now) {
        out.push(Title);
    }
    if has("skill|skills|good at|certificate|certificates|licence|license|licenses|\
            abilities|what can you do|languages")
    {
        out.push(Skills);
    }
    if has("education|school|degree|study|studied|qualification|schooling|training|\
            qualifications|diploma")
    {
        out.push(Education);
    }
    if has("email|e-mail") {
        out.push(Email);
    }
    if has("what city|which city|where do you live|which town|what town") {
        out.push(City);
    }
    if has("anything else|something else|anything to add|anything you would like to add|\
            anything you'd like to add|like to add|want to add")
    {
        out.push(More);
    }
    if has("do you do|currently|current|at the moment|these days|nowadays|are you working|\
            present job|for a living|working now|where do you work|your situation|\
            do for work|do you work|are you employed|doing now|work now")
        && !out.iter().any(|t| matches!(t, Title | Company | Start | End | Dates))
    {
        out.push(Current);
    }
    if out.is_empty()
        && has("okay|ok|all right|alright|consent|agree|mind|good time|few minutes|\
            couple of minutes|may we|may i|can we|could we|go on|go ahead|continue|willing|\
            happy to|shall we|a moment|have time|ready")
    {
        out.push(Consent);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wording_finds_its_topic() {
        use Topic::*;
        let cases: &[(&str, &[Topic])] = &[
            (
                "Hello, this is Carillon, an AI assistant. This call may be recorded. Is it okay to go on?",
                &[Consent],
            ),
            ("Do you have a few minutes right now to talk?", &[Consent]),
            ("Great. May I have your full name, please?", &[Name]),
            ("Could you tell me your name and what you currently do for work?", &[Name, Current]),
            ("What do you do for work at the moment?", &[Current]),
            ("Thank you. What did you do before Harbor & Sons Logistics?", &[Previous]),
            ("Where did you work before that?", &[Previous]),
            ("When did you start at Delta Freight?", &[Start]),
            ("When did you start at Delta Freight, and when did you leave?", &[Dates]),
            ("When did that job end?", &[End]),
            ("What was your job title at Delta Freight?", &[Title]),
            ("Which company was that with?", &[Company]),
            ("What were you doing between March 2015 and May 2016?", &[Gap]),
            (
                "I see nothing between 1977 and 1985. Were you perhaps at school, caring for family, or working then?",
                &[Gap],
            ),
            ("And since May 2024, what have you been doing until today?", &[Gap]),
            ("What skills do you have?", &[Skills]),
            (
                "You are Ana. You worked at A from March 2015 to May 2016 as a cook. Is that right?",
                &[ReadBack],
            ),
            ("Sorry about that. What should I correct?", &[Correction]),
            ("Is there anything else you would like to add?", &[More]),
            ("When would be a good time to call you back?", &[CallbackTime]),
            ("Hello? Are you still there?", &[Presence]),
            ("What was your last job, and from when until when did you work there?", &[Previous]),
            ("What was your last job, where was it and what were you there?", &[Previous]),
            ("Are you working at the moment, and if so, where and as what?", &[Current]),
            ("When did you start at Delta Freight, and are you still there?", &[Dates]),
            ("Are you still at Delta Freight, or when did you leave?", &[End]),
            (
                "What were you doing between 2016 and May 2018? Was it work, family, school or something else?",
                &[Gap],
            ),
            ("Do you have any schooling or training that should be on your profile?", &[Education]),
            (
                "Did you have another job before that, before Delta Freight? Just the company will do.",
                &[Previous],
            ),
            ("What name may I put down for you?", &[Name]),
            ("Is it all right with you if we go on, with the call being recorded?", &[Consent]),
        ];
        for (said, topics) in cases {
            assert_eq!(read(said).topics, *topics, "{said}");
        }
        assert!(read("One moment, please.").bridge);
        assert!(read("Thank you for your time. Goodbye!").goodbye);
        assert!(read("Sorry, I didn't catch that.").repeat);
    }
}
