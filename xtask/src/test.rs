//! All tests: those of the crates, and those over real namespaces, daemons and packets.

mod pool;
mod programs;
mod tally;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use testbed::random::{self, SEED};

use crate::{say, setup, shell, soak};
use pool::Job;
use programs::Program;
use tally::{Failure, Tally};

#[derive(Args)]
pub(crate) struct Options {
    /// Only the tests of this package: netctl, netctl-common, netctl-tests, testbed, xtask
    #[arg(long, short)]
    package: Option<String>,
    /// Instead of all that: three hosts under random faults for so many minutes, with every lost packet counted
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "10")]
    soak: Option<u64>,
    /// The seed of the faults, in hexadecimal digits; another each time where none is given
    #[arg(long, requires = "soak")]
    seed: Option<String>,
    /// Only tests with this in their name; what follows goes to the test programs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

/// The variable by which libtest is told how many tests to run at once.
const THREADS: &str = "RUST_TEST_THREADS";
/// So many tests at most are run again: where more fail, it is not that they were in each other's way.
const AGAIN: usize = 5;
/// Tests that take a minute and more: they begin first, so that at the end nobody waits for one alone.
const LONG: [&str; 13] = [
    "docker::",
    "faults::deaths::",
    "faults::scale::",
    "faults::leftovers::",
    "faults::absence::",
    "faults::kills::",
    "faults::audit::",
    "faults::interference::",
    "faults::upgrade::",
    "faults::races::",
    "faults::clock::",
    "faults::cluster::",
    "acceptance::",
];
/// How many that took longest are told of at the end.
const SLOWEST: usize = 10;

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "tests make network namespaces and need root: use sudo");
    testbed::clean_on_interrupt(sweep_dying)?;
    let begin = Instant::now();
    setup::ensure()?;
    let left = testbed::sweep()?;
    if left > 0 {
        say::done(&format!("cleared away what {left} killed runs had left"));
    }
    shell::build_netctl()?;
    // One for all of it, so that what fails has it again when it is run again.
    let seed = format!("{:#x}", random::seed()?);
    if let Some(minutes) = options.soak {
        let seed = options.seed.clone().unwrap_or(seed);
        return soak::run(minutes, &seed);
    }
    let programs = programs::build(options)?;
    let tests = Instant::now();
    let tally = test(options, &programs, &seed)?;
    let took = tests.elapsed().as_secs_f64();
    let Tally { passed, failed, took: durations, .. } = tally;
    let mut left = testbed::sweep()?;
    show(&failed);
    summarise(passed, failed.len(), took, &durations)?;
    // What passes alone was kept too short of time or room by the tests beside it. It is said, but fails nothing.
    let (mut crowded, mut broken) = (Vec::new(), failed);
    if (1..=AGAIN).contains(&broken.len()) {
        say::remark("what failed, once more, each by itself:");
        let again = alone(&programs, &broken, &seed)?;
        left = testbed::sweep()?;
        show(&again.failed);
        (broken, crowded) = broken.into_iter().partition(|test| again.has_failed(test));
    }

    let took = begin.elapsed().as_secs();
    for test in &crowded {
        out!("{} {} failed beside others and passed by itself", say::bad("~"), test.full_name());
    }
    for test in &broken {
        out!("{} {}", say::bad("✗"), test.full_name());
    }
    ensure!(broken.is_empty(), "{} tests failed, {passed} passed, in {took} s", broken.len());
    let passed = passed + crowded.len();
    ensure!(left == 0, "all {passed} tests passed, but {left} runs left hosts or processes behind");
    say::done(&format!("all {passed} tests passed, nothing is left, in {took} s"));
    Ok(())
}

/// Three times as many tests at once as there are CPUs, or as many as `RUST_TEST_THREADS` says: most of their time they wait
/// for somebody.
fn test(options: &Options, programs: &[Program], seed: &str) -> Result<Tally> {
    let (filter, arguments): (Vec<String>, Vec<String>) =
        options.filter.iter().cloned().partition(|word| !word.starts_with('-'));
    let mut jobs = Vec::new();
    for program in programs {
        let tests = program.tests(&filter)?;
        let job = |test, words: &[String]| {
            let arguments = words.iter().chain(&arguments).cloned().collect();
            Job { program: program.clone(), test, arguments }
        };
        if program.whole_hosts {
            jobs.extend(tests.into_iter().map(|test| job(Some(test), &[])));
        } else if !tests.is_empty() {
            jobs.push(job(None, &filter));
        }
    }
    let durations = durations()?;
    jobs.sort_by_cached_key(|job| {
        let name = job.name();
        let is_long = LONG.iter().any(|long| name.starts_with(long));
        let known = durations.get(&name).copied();
        std::cmp::Reverse(known.unwrap_or(if is_long { Duration::MAX } else { Duration::ZERO }))
    });
    let at_once = match std::env::var(THREADS) {
        Ok(text) => text.parse().with_context(|| format!("{THREADS} is {text}"))?,
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from) * 3,
    };
    start(jobs, at_once, seed)
}

/// Runs these tests again, one after another, with the seed that they had.
fn alone(programs: &[Program], failed: &[Failure], seed: &str) -> Result<Tally> {
    let job = |test: &Failure| {
        let program = programs.iter().find(|program| program.name == test.program)?.clone();
        Some(Job { program, test: Some(test.name.clone()), arguments: Vec::new() })
    };
    start(failed.iter().filter_map(job).collect(), 1, seed)
}

fn start(jobs: Vec<Job>, at_once: usize, seed: &str) -> Result<Tally> {
    // A message says by itself what is wrong, and traces push those of other tests out of sight.
    let variables = [(SEED, seed), ("RUST_BACKTRACE", "0")];
    pool::run(jobs, at_once, &variables, &shell::target()?.join("xtask").join("tests"))
}

fn cargo_test(options: &Options) -> Command {
    let mut command = shell::cargo(&["test"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command
}

fn durations_file() -> Result<PathBuf> {
    Ok(shell::target()?.join("xtask").join("durations.json"))
}

/// How long tests took when they last ran; none where that cannot be read.
fn durations() -> Result<BTreeMap<String, Duration>> {
    let text = fs::read(durations_file()?).unwrap_or_default();
    let seconds: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap_or_default();
    Ok(seconds.into_iter().map(|(name, took)| (name, Duration::from_secs_f64(took))).collect())
}

/// Says how it went, as libtest does of one program, and what took longest; which is kept for the next time.
fn summarise(
    passed: usize,
    failed: usize,
    took: f64,
    durations: &BTreeMap<String, Duration>,
) -> Result<()> {
    let mut slowest: Vec<_> = durations.iter().collect();
    slowest.sort_by_key(|(_, took)| std::cmp::Reverse(**took));
    for (name, took) in slowest.into_iter().take(SLOWEST) {
        say::remark(&format!("{:>6.1} s {name}", took.as_secs_f64()));
    }
    let how = if failed == 0 { "ok" } else { "FAILED" };
    out!("\ntest result: {how}. {passed} passed; {failed} failed; finished in {took:.2}s\n");
    let mut all = self::durations()?;
    all.extend(durations.clone());
    let seconds: BTreeMap<_, _> =
        all.into_iter().map(|(name, took)| (name, took.as_secs_f64())).collect();
    let file = durations_file()?;
    fs::write(&file, serde_json::to_string(&seconds)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What the tests that failed said, once more, where a reader looks first: at the end.
fn show(failed: &[Failure]) {
    for test in failed {
        out!("\n{} {}", say::bad("✗"), test.full_name());
        for line in &test.said {
            out!("    {line}");
        }
    }
    out!("");
}

/// After a signal the test programs take a moment to die; until then their labs are not swept.
fn sweep_dying() {
    for _ in 0..20 {
        sleep(Duration::from_millis(100));
        if let Err(error) = testbed::sweep() {
            eprintln!("{error:#}");
        }
    }
}
