//! The load bench: the real binary as api and worker processes, Redis of its own, the outside world simulated here. It
//! counts CPU-seconds (ours and Redis', never the simulators'), Redis calls, bytes and memory, beside the floor of the
//! same run: the same Redis commands sent bare, the same posts by bare hyper. Exit status 1: an invariant is broken.

#[path = "load/admission.rs"]
mod admission;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/hold.rs"]
mod hold;
#[path = "load/intake.rs"]
mod intake;
mod kit;
#[path = "load/live.rs"]
mod live;
#[path = "load/machine.rs"]
mod machine;
#[path = "load/options.rs"]
mod options;
#[path = "load/outbox.rs"]
mod outbox;
#[path = "load/record.rs"]
mod record;
#[path = "load/report.rs"]
mod report;
#[path = "load/speech.rs"]
mod speech;
#[path = "load/stage.rs"]
mod stage;
#[path = "load/whole.rs"]
mod whole;
#[path = "load/wire.rs"]
mod wire;

use std::process::ExitCode;

use floor::HttpFloor;
// The tests beside the support modules look for it here.
use futures::future::LocalBoxFuture;
use kit::support;
use options::Options;
use report::Report;
use stage::Build;

/// The binary's own: the part that admits calls is the engine without the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every section works with.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) http: HttpFloor,
    pub(crate) report: Report,
}

/// The sections that reach the nodes over HTTP alone, so that any build of the program can be measured by them. The
/// others prepare Redis through the store of this build.
const FOR_ANY_BUILD: [&str; 4] = ["start", "initiate", "intake", "call"];

type Section = for<'a> fn(&'a mut Bench) -> LocalBoxFuture<'a, ()>;

/// The sections, in the order in which they run.
const SECTIONS: [(&str, Section); 10] = [
    ("start", |bench| Box::pin(hold::start(bench))),
    ("initiate", |bench| Box::pin(intake::initiate(bench))),
    ("intake", |bench| Box::pin(intake::lists(bench))),
    ("admission", |bench| Box::pin(admission::admission(bench))),
    ("turn", |bench| Box::pin(speech::turns(bench))),
    ("call", |bench| Box::pin(whole::calls(bench))),
    ("outbox", |bench| Box::pin(outbox::outbox(bench))),
    ("memory", |bench| Box::pin(hold::memory(bench))),
    ("drain", |bench| Box::pin(admission::drain(bench))),
    ("live", |bench| Box::pin(hold::live(bench))),
];

async fn measure(options: Options) -> ExitCode {
    let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = options.sections.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("--section {unknown}: one of {}", known.join(", "));
        return ExitCode::from(2);
    }
    let own = Build { program: None, env: options.env.clone() };
    stage::measure_build(own.clone());
    let mut bench = Bench { options, http: HttpFloor::default(), report: Report::default() };
    for run in 1..=bench.options.runs {
        let watch = machine::Watch::start();
        println!(
            "run {run} of {}, {} processors\n{}",
            bench.options.runs,
            machine::processors(),
            report::HEAD
        );
        bench.http = floor::measure(&bench.options, &mut bench.report).await;
        for (name, section) in SECTIONS {
            if !bench.options.sections.is_empty() && !bench.options.sections.iter().any(|s| s == name) {
                continue;
            }
            section(&mut bench).await;
            if !FOR_ANY_BUILD.contains(&name) {
                continue;
            }
            for program in bench.options.against.clone() {
                bench.report.build =
                    Some(program.file_name().unwrap_or_default().to_string_lossy().into_owned());
                let env = bench.options.env.clone();
                stage::measure_build(Build { program: Some(program), env });
                section(&mut bench).await;
            }
            bench.report.build = None;
            stage::measure_build(own.clone());
        }
        let (seconds, idle) = watch.read();
        println!("run {run}: {seconds:.0} s, the machine idle {:.0} % of it", idle * 100.0);
    }
    bench.report.print();
    let path = bench.options.json.clone();
    match bench.report.write(&path, bench.options.quick) {
        Ok(()) => println!("written to {}", path.display()),
        Err(error) => {
            eprintln!("--json {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if bench.report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Ok(part) = std::env::var(floor::PART) {
        let of = std::env::var(floor::OF).unwrap_or_default();
        runtime.block_on(async {
            match part.as_str() {
                "server" => floor::serve().await,
                "client" => floor::send(&of).await,
                "admit" => admission::part(&of).await,
                other => panic!("{}={other} is no part", floor::PART),
            }
        });
        return ExitCode::SUCCESS;
    }
    match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => runtime.block_on(measure(options)),
        Ok(None) => {
            println!("nothing is measured in a test run: {}", options::USAGE);
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}
