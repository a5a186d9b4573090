//! The interview's tools, as the model sees them: names, when to use them, arguments. What they do is in
//! [`super::record`] (facts) and [`super::steps`] (the course of the talk).

use serde_json::json;

use super::notes::{EMPLOYMENT_TYPES, Kind};
use super::{record, steps};
use crate::agents::tool::{Plain, flag, object, one_of, text};

/// Every tool of the interview.
pub(crate) const TOOLS: [Plain; 14] = [
    Plain {
        name: "record_consent",
        description: "Call it when the callee says whether they agree to go on with this recorded call. Only what they \
                      clearly said counts.",
        parameters: || object(&[("given", flag("true: they agreed; false: they refused"))], &[]),
        run: steps::consent,
    },
    Plain {
        name: "record_person",
        description: "Call it when the callee tells their name, mail address or city.",
        parameters: || {
            let fields = [
                ("name", text("full name")),
                ("email", text("mail address")),
                ("city", text("where they live")),
            ];
            object(&[], &fields)
        },
        run: record::person,
    },
    Plain {
        name: "record_job",
        description: "Call it for each job the callee tells about, with what they said and nothing more. Call it again \
                      with the same company to complete or correct that job.",
        parameters: || {
            let date = "as said: 2015, March 2015, 2015-03; leave it out if it was not said";
            object(
                &[("company", text("the employer's name"))],
                &[
                    ("title", text("their job title")),
                    ("start", text(date)),
                    ("end", text("as start; \"present\" while they still work there")),
                    ("current", flag("true while they still work there")),
                    ("location", text("city or place")),
                    ("employment_type", one_of(&EMPLOYMENT_TYPES, "only if said")),
                    ("responsibilities", text("what they did, in their words")),
                    ("reason_for_leaving", text("in their words")),
                ],
            )
        },
        run: record::job,
    },
    Plain {
        name: "remove_job",
        description: "Call it when the callee says that a recorded job is wrong altogether.",
        parameters: || {
            object(&[("company", text("the employer's name"))], &[("start", text("to tell two stays apart"))])
        },
        run: record::remove_job,
    },
    Plain {
        name: "explain_gap",
        description: "Call it when the callee says what they did in a time without a job. Take start and end from \
                      STATE.gap unless they name others. kind is unknown where they do not know or will not say.",
        parameters: || {
            object(
                &[
                    ("start", text("first month, YYYY-MM or YYYY")),
                    ("end", text("the month it ended, YYYY-MM or YYYY; \"present\" if it lasts")),
                    ("kind", one_of(&Kind::WORDS, "what it was")),
                    ("explanation", text("in their words")),
                ],
                &[],
            )
        },
        run: record::explain_gap,
    },
    Plain {
        name: "record_skills",
        description: "Call it when the callee names skills, tools, licences or languages they have.",
        parameters: || {
            let skills =
                json!({ "type": "array", "items": text("one skill"), "description": "each as said" });
            object(&[("skills", skills)], &[])
        },
        run: record::skills,
    },
    Plain {
        name: "record_education",
        description: "Call it when the callee names a school, course, degree or certificate.",
        parameters: || {
            let fields = [
                ("institution", text("school or university")),
                ("degree", text("degree or certificate")),
                ("field", text("subject")),
                ("year", text("the year it ended")),
            ];
            object(&[], &fields)
        },
        run: record::education,
    },
    Plain {
        name: "history_complete",
        description: "Call it when the callee says that there were no earlier jobs, or that they never worked.",
        parameters: || object(&[], &[]),
        run: record::history_complete,
    },
    Plain {
        name: "confirm_read_back",
        description: "Call it when the callee has answered whether what you read back is right.",
        parameters: || object(&[("correct", flag("did they say that it is right?"))], &[]),
        run: steps::confirm_read_back,
    },
    Plain {
        name: "finish_interview",
        description: "Call it in the stage goodbye, or when the callee asks to end the call. Then say goodbye.",
        parameters: || object(&[("reason", text("why it ends, in a few words"))], &[]),
        run: steps::finish,
    },
    Plain {
        name: "schedule_callback",
        description: "Call it when the callee wants to be called at another time. Then read the time back and say \
                      goodbye.",
        parameters: || object(&[("when", text("the time exactly as they said it"))], &[]),
        run: steps::schedule_callback,
    },
    Plain {
        name: "wrong_number",
        description: "Call it when the person says that this is the wrong number or that the person asked for is not \
                      reached here.",
        parameters: || object(&[], &[]),
        run: steps::wrong_number,
    },
    Plain {
        name: "transfer_to_person",
        description: "Call it when the callee asks to speak to a human being.",
        parameters: || object(&[("reason", text("why, in a few words"))], &[]),
        run: steps::transfer,
    },
    Plain {
        name: "opt_out",
        description: "Call it when the callee wants no more calls, in any words.",
        parameters: || object(&[("words", text("what they said"))], &[]),
        run: steps::opt_out,
    },
];
