//! Micro-benchmarks of what runs once or more for every call. `cargo bench -- --quick` for a first look.

use std::hint::black_box;

use carillon::carrier::twilio::signature;
use carillon::carrier::twilio::wire::CallbackForm;
use carillon::domain::call::{Body, Call, Event, HangUpCause, Leg, Rules};
use carillon::domain::ids::{CallId, CampaignId, PhoneHash, Shard};
use carillon::domain::phone::{self, Phone};
use carillon::domain::window::{self, Window};
use criterion::{BatchSize, Criterion, Throughput};
use secrecy::SecretString;

/// A number that is nobody's.
const NUMBER: &str = "+14155550123";

fn ids(c: &mut Criterion) {
    let mut group = c.benchmark_group("ids");
    group.throughput(Throughput::Elements(1));
    group.bench_function("shard_of_number", |b| b.iter(|| Shard::of(black_box(NUMBER))));
    let shard = Shard::of(NUMBER);
    group.bench_function("new_call_id", |b| b.iter(|| CallId::new(black_box(shard))));
    group.bench_function("derived_call_id", |b| {
        b.iter(|| CallId::derived(black_box(shard), black_box("cmp_0000000000000000000001/+14155550123")));
    });
    let text = CallId::new(shard).as_str().to_owned();
    group.bench_function("parse_call_id", |b| b.iter(|| CallId::parse(black_box(&text))));
    group.bench_function("phone_hash", |b| {
        b.iter(|| PhoneHash::of(black_box(b"0123456789abcdef0123456789abcdef"), black_box(NUMBER)));
    });
    group.finish();
}

fn waiting() -> Call {
    let phone = Phone::from_e164(NUMBER).expect("E.164");
    let hash = PhoneHash::of(b"0123456789abcdef0123456789abcdef", NUMBER);
    let campaign = Some(CampaignId::random());
    Call::new(CallId::new(Shard::of(NUMBER)), hash, campaign, Body::new(phone, 1_800_000_000_000))
}

fn calls(c: &mut Criterion) {
    let mut group = c.benchmark_group("call");
    group.throughput(Throughput::Elements(1));
    let call = waiting();
    let record = call.encode();
    group.bench_function("encode_waiting", |b| b.iter(|| black_box(&call).encode()));
    group.bench_function("decode_waiting", |b| b.iter(|| Call::decode(&call.id, black_box(&record))));
    let rules = Rules::default();
    let leg = Leg { attempt: 1, sid: "CA00000000000000000000000000000001".into() };
    group.bench_function("dialed_rang_answered_hung_up", |b| {
        b.iter(|| {
            let mut change = black_box(&call).clone().change();
            let hung_up = Event::HungUp {
                leg: leg.clone(),
                cause: HangUpCause::Completed,
                code: None,
                duration_s: Some(60),
            };
            let events = [
                Event::DialStarted { caller: "+14155550199".into(), evidence: None },
                Event::Accepted(leg.clone()),
                Event::Rang(leg.clone()),
                Event::Answered(leg.clone()),
                hung_up,
            ];
            for event in events {
                let _ = black_box(change.apply(event, &rules, 1_800_000_000_000));
            }
            change
        });
    });
    group.finish();
}

fn numbers(c: &mut Criterion) {
    let mut group = c.benchmark_group("phone");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse_e164", |b| b.iter(|| Phone::parse(black_box(NUMBER), "US")));
    group.bench_function("parse_national", |b| b.iter(|| Phone::parse(black_box("(415) 555-0123"), "US")));
    let number = Phone::from_e164(NUMBER).expect("E.164");
    group.bench_function("zones", |b| b.iter(|| phone::zones(black_box(&number))));
    let rules = window::Rules::builtin();
    let lead = std::time::Duration::from_secs(35);
    group.bench_function("calling_window", |b| {
        b.iter(|| {
            window::open_until(Window::default(), rules, black_box(&number), None, 1_800_000_000_000, lead)
        });
    });
    // Rules that were just copied remember nothing: each question is computed.
    group.bench_function("calling_window_new", |b| {
        b.iter_batched_ref(
            || rules.clone(),
            |rules| {
                window::open_until(
                    Window::default(),
                    rules,
                    black_box(&number),
                    None,
                    1_800_000_000_000,
                    lead,
                )
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn carrier(c: &mut Criterion) {
    let mut group = c.benchmark_group("carrier");
    group.throughput(Throughput::Elements(1));
    let body = b"CallSid=CA1234567890ABCDE&CallStatus=in-progress&SpeechResult=I+worked+at+Acme&Confidence=0.93&From=%2B14158675309&To=%2B18005551212";
    group.bench_function("parse_form", |b| b.iter(|| CallbackForm::parse(black_box(body))));
    let form = CallbackForm::parse(body);
    let token = SecretString::from("12345");
    let url = "https://dial.example.com/api/calls/webhook/call_07AAAAAAAAAAAAAAAAAAAAAA?attempt=1&turn=3";
    let signed = signature::sign(&token, url, &form.params);
    group.bench_function("verify_signature", |b| {
        b.iter(|| signature::verify(&token, url, black_box(&signed), signature::Signed::Form(&form.params)));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    ids(&mut criterion);
    calls(&mut criterion);
    numbers(&mut criterion);
    carrier(&mut criterion);
    criterion.final_summary();
}
