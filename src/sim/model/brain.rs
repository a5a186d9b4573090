//! The simulated model's mind: rules instead of weights. It sees one HTTP request and nothing else.

use serde_json::{Map, Value, json};

use super::dates;
use super::jobs::Patch;
use super::listen::{self, Context, Fact};
use super::state::Scene;
use super::wire::{Answer, Request};
use super::{extract, generic, speak};

type Call = (String, Map<String, Value>);

/// Answers a request that passed the checks.
pub(crate) fn think(request: &Request) -> Answer {
    let scene = Scene::new(request);
    if let Some(format) = request.response_format.as_ref().filter(|f| f.kind != "text") {
        let schema = format
            .json_schema
            .as_ref()
            .and_then(|s| s.schema.clone())
            .unwrap_or_else(|| json!({"type": "object"}));
        let text: Vec<String> =
            request.messages.iter().filter(|m| m.role != "system").map(super::wire::Message::text).collect();
        return extract::answer(&schema, &text.join("\n"));
    }
    let choice = request.tool_choice.as_ref();
    let may_call = !request.tools.is_empty() && choice.and_then(Value::as_str) != Some("none");
    let forced = choice.and_then(|c| c.get("function")?.get("name")?.as_str());
    let offered = |name: &str| {
        request.tools.iter().any(|t| t.function.name == name) && forced.is_none_or(|f| f == name)
    };
    let ctx = scene.context();
    let interview = request.tools.iter().any(|t| t.function.name == "record_job");
    let mut facts = if scene.heard.is_empty() { vec![] } else { listen::understand(&ctx, &scene.heard) };
    if !interview {
        facts.retain(|f| matches!(f, Fact::WhoAreYou));
    }
    if may_call {
        let planned = if interview { plan(&ctx, &facts, &scene) } else { generic::plan(request, &scene) };
        let mut calls: Vec<Call> = planned.into_iter().filter(|(name, _)| offered(name)).collect();
        // A real model calls all at once; told not to, one after the other.
        if request.parallel_tool_calls == Some(false) {
            calls = calls.into_iter().skip(scene.done.len()).take(1).collect();
        } else if !scene.done.is_empty() {
            calls.clear();
        }
        if calls.is_empty() && interview && parting(&scene) && offered("finish_interview") {
            calls.push(call("finish_interview", json!({"reason": "the interview is complete"})));
        }
        let required = choice.and_then(Value::as_str) == Some("required") || forced.is_some();
        if calls.is_empty() && required && scene.done.is_empty() {
            calls.extend(generic::forced(request, &scene, forced));
        }
        for (name, args) in &mut calls {
            generic::shape(request, name, args);
        }
        if !calls.is_empty() {
            return Answer::Tools(calls);
        }
    }
    Answer::Text(speak::words(&scene, &ctx, &facts))
}

/// A tool of this turn led to the goodbye, and its line asks nothing any more.
fn parting(scene: &Scene) -> bool {
    const FINAL: &[&str] =
        &["finish_interview", "schedule_callback", "wrong_number", "opt_out", "transfer_to_person"];
    if scene.done.iter().any(|(call, _)| FINAL.contains(&call.function.name.as_str())) {
        return false;
    }
    scene.result().is_some_and(|result| {
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or("");
        text("stage") == "goodbye" && !text("ask").contains('?')
    })
}

fn call(name: &str, args: Value) -> Call {
    (name.to_owned(), args.as_object().cloned().unwrap_or_default())
}

/// The tools that write down what was said.
fn plan(ctx: &Context, facts: &[Fact], scene: &Scene) -> Vec<Call> {
    let mut out = Vec::new();
    for fact in facts {
        match fact {
            Fact::Consent(given) => out.push(call("record_consent", json!({"given": given}))),
            Fact::Name(name) => out.push(call("record_person", json!({"name": name}))),
            Fact::Email(email) => out.push(call("record_person", json!({"email": email}))),
            Fact::Job(patch) => out.extend(record(ctx, patch, facts.contains(&Fact::ReadBack(false)))),
            Fact::NeverWorkedAt(company) => out.push(call("remove_job", json!({"company": company}))),
            Fact::Gap { start, end, kind, words } => out.push(call(
                "explain_gap",
                json!({"start": start, "end": end, "kind": kind, "explanation": words}),
            )),
            Fact::Skills(skills) if skills.is_empty() => {}
            Fact::Skills(skills) => out.push(call("record_skills", json!({"skills": skills}))),
            Fact::Education { institution, degree, year } => {
                out.push(call(
                    "record_education",
                    json!({"institution": institution, "degree": degree, "year": year}),
                ));
            }
            Fact::NoEarlierJob => out.push(call("history_complete", json!({}))),
            Fact::ReadBack(correct) => out.push(call("confirm_read_back", json!({"correct": correct}))),
            Fact::OptOut => out.push(call("opt_out", json!({"words": scene.heard}))),
            Fact::WrongNumber => out.push(call("wrong_number", json!({}))),
            Fact::CallBack(when) => out.push(call("schedule_callback", json!({"when": when}))),
            Fact::WantsPerson => {
                out.push(call("transfer_to_person", json!({"reason": "the callee asks for a person"})))
            }
            Fact::Voicemail => out.push(call("finish_interview", json!({"reason": "voicemail"}))),
            Fact::NothingMore if scene.text("stage") == "goodbye" => {
                out.push(call("finish_interview", json!({"reason": "the interview is complete"})));
            }
            Fact::NothingMore if scene.text("stage") == "history" => {
                out.push(call("history_complete", json!({})))
            }
            Fact::NothingMore | Fact::WhoAreYou | Fact::Evasion | Fact::NotWorking | Fact::WhichCompany => {}
        }
    }
    if out.is_empty() && scene.text("stage") == "goodbye" && !ctx.needs_consent && !scene.heard.contains('?')
    {
        out.push(call("finish_interview", json!({"reason": "the interview is complete"})));
    }
    out
}

/// `record_job` with all that is known of the job by now. Where a date that was recorded turns out wrong, the old entry goes first.
fn record(ctx: &Context, patch: &Patch, correcting: bool) -> Vec<Call> {
    let plain = |t: &str| dates::lower(t).replace('&', "and");
    let company = patch.company.clone().unwrap_or_default();
    let same = |p: &&Patch| p.company.as_deref().is_some_and(|c| plain(c) == plain(&company));
    let mut known: Vec<&Patch> = ctx.jobs.iter().filter(same).collect();
    // Two spells with one employer: the one the dates speak of.
    if known.len() > 1
        && let Some(start) = patch.start
        && let Some(i) = known.iter().position(|p| p.start.is_some_and(|s| s.year == start.year))
    {
        known = vec![known[i]];
    }
    let known = known.last().copied();
    let mut out = Vec::new();
    let mut full = patch.clone();
    if let Some(known) = known {
        let moved = matches!((known.start, patch.start), (Some(a), Some(b)) if a != b);
        let another = moved && !correcting && patch.title.is_some();
        if !another {
            // Where the old entry and the new do not even touch, the program would take them for two stays.
            let span = |p: &Patch| Some((p.start?.first(), p.end.map_or(i32::MAX, dates::Date::last)));
            let apart = matches!((span(known), span(patch)), (Some(a), Some(b)) if a.0 > b.1 || b.0 > a.1);
            if moved && correcting && apart {
                out.push(call(
                    "remove_job",
                    json!({"company": known.company, "start": known.start.map(|d| d.to_string())}),
                ));
            }
            full.complete(known.clone());
            full.company.clone_from(&known.company);
        }
    }
    if full.current == Some(true) && patch.current != Some(false) {
        full.end = None;
    }
    let mut args = json!({"company": full.company, "title": full.title, "start": full.start.map(|d| d.to_string()), "end": full.end.map(|d| d.to_string()), "current": full.current});
    if full.current.is_none() && full.end.is_some() {
        args["current"] = Value::Bool(false);
    }
    out.push(call("record_job", args));
    out
}
