//! All tests: those of the crates, and those over real namespaces, daemons and packets.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use testbed::Forward;

use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// Only the tests of this package: netctl, netctl-common, netctl-tests, testbed, xtask
    #[arg(long, short)]
    package: Option<String>,
    /// Only tests with this in their name; what follows goes to the test programs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

/// The variable by which libtest is told how many tests to run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// What the test programs said, added up.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: Vec<String>,
}

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
    let (tally, success) = test(options)?;
    let left = testbed::sweep()?;

    let Tally { passed, failed } = tally;
    let took = begin.elapsed().as_secs();
    out!("");
    for name in &failed {
        out!("{} {name}", say::bad("✗"));
    }
    ensure!(failed.is_empty(), "{} tests failed, {passed} passed, in {took} s", failed.len());
    ensure!(success, "cargo test failed: it says why above");
    ensure!(left == 0, "all {passed} tests passed, but {left} runs left hosts or processes behind");
    say::done(&format!("all {passed} tests passed, nothing is left, in {took} s"));
    Ok(())
}

/// Programs of tests run one after another; within one, twice as many tests at once as there are CPUs, or as many as
/// `RUST_TEST_THREADS` says: most of their time they wait for somebody.
fn test(options: &Options) -> Result<(Tally, bool)> {
    let mut command = shell::cargo(&["test", "--no-fail-fast"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    if std::env::var_os(THREADS).is_none() {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (cpus * 2).to_string());
    }
    if !options.filter.is_empty() {
        command.arg("--").args(&options.filter);
    }
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

impl Tally {
    /// Reads one line of what libtest writes: `test NAME ... ok`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test ") else { return };
        if let Some(name) = rest.strip_suffix(" ... FAILED") {
            self.failed.push(name.to_owned());
        } else if rest.ends_with(" ... ok") {
            self.passed += 1;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_tally_counts_what_libtest_writes() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test store::put ... ok",
            "test a_test - should panic ... ok",
            "test store::watch ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored",
        ] {
            tally.add(line);
        }
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failed, ["store::watch"]);
    }
}
