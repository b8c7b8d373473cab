//! All tests: those of the crates, and those over real namespaces, daemons and packets.

mod tally;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use testbed::Forward;

use crate::{say, setup, shell, soak};
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
/// The variable with the seed of what tests take at random.
const SEED: &str = "MODEL_SEED";
/// So many tests at most are run again: where more fail, it is not that they were in each other's way.
const AGAIN: usize = 5;

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
    if let Some(minutes) = options.soak {
        let seed = options.seed.clone().map_or_else(seed, Ok)?;
        return soak::run(minutes, &seed);
    }
    let seed = seed()?;
    let (tally, mut success) = test(options, &seed)?;
    let Tally { passed, failed, .. } = tally;
    let mut left = testbed::sweep()?;
    show(&failed);
    // What passes alone was kept too short of time or room by the tests beside it. It is said, but fails nothing.
    let (mut crowded, mut broken) = (Vec::new(), failed);
    if (1..=AGAIN).contains(&broken.len()) {
        say::remark("what failed, once more, each by itself:");
        let (again, passes) = alone(options, &broken, &seed)?;
        left = testbed::sweep()?;
        show(&again.failed);
        (broken, crowded) = broken.into_iter().partition(|test| again.has_failed(&test.name));
        success = passes;
    }

    let took = begin.elapsed().as_secs();
    for test in &crowded {
        out!("{} {} failed beside others and passed by itself", say::bad("~"), test.name);
    }
    for test in &broken {
        out!("{} {}", say::bad("✗"), test.name);
    }
    ensure!(broken.is_empty(), "{} tests failed, {passed} passed, in {took} s", broken.len());
    ensure!(success, "cargo test failed: it says why above");
    let passed = passed + crowded.len();
    ensure!(left == 0, "all {passed} tests passed, but {left} runs left hosts or processes behind");
    say::done(&format!("all {passed} tests passed, nothing is left, in {took} s"));
    Ok(())
}

/// Programs of tests run one after another; within one, three times as many tests at once as there are CPUs, or as many as
/// `RUST_TEST_THREADS` says: most of their time they wait for somebody.
fn test(options: &Options, seed: &str) -> Result<(Tally, bool)> {
    let mut command = programs(options);
    if std::env::var_os(THREADS).is_none() {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (cpus * 3).to_string());
    }
    if !options.filter.is_empty() {
        command.arg("--").args(&options.filter);
    }
    told(command, seed)
}

/// Runs these tests again, one after another, with the seed that they had.
fn alone(options: &Options, failed: &[Failure], seed: &str) -> Result<(Tally, bool)> {
    let mut command = programs(options);
    command.args(["--", "--exact"]).args(failed.iter().map(|test| &test.name));
    command.env(THREADS, "1");
    told(command, seed)
}

fn programs(options: &Options) -> Command {
    let mut command = shell::cargo(&["test", "--no-fail-fast"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command
}

/// Runs cargo, passes on what the tests say, and adds it up.
fn told(mut command: Command, seed: &str) -> Result<(Tally, bool)> {
    // A message says by itself what is wrong, and traces push those of other tests out of sight.
    command.env(SEED, seed).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().context("cannot run cargo")?;
    let forward = Forward::to(child.id());
    let Some(stdout) = child.stdout.take() else { bail!("cargo has no stdout") };
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        tally.add(&line);
        out!("{line}");
    }
    let success = child.wait()?.success();
    drop(forward);
    Ok((tally, success))
}

/// What the tests that failed said, once more, where a reader looks first: at the end.
fn show(failed: &[Failure]) {
    for test in failed {
        out!("\n{} {}", say::bad("✗"), test.name);
        for line in &test.said {
            out!("    {line}");
        }
    }
    out!("");
}

/// The seed that was asked for, or another for each run: one for all of it, so that what fails again has it again.
fn seed() -> Result<String> {
    if let Ok(seed) = std::env::var(SEED) {
        return Ok(seed);
    }
    Ok(format!("{:#x}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros()))
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
