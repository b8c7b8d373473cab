//! Running tests, several at once, whatever program they are in.
//!
//! Each test over whole hosts is a process of its own, so that a program's last test keeps none of another's waiting. Those
//! of a crate's own parts run in their program, all together.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use testbed::Forward;

use super::programs::Program;
use super::tally::{Failure, LINES, Tally};

/// How long one may take: many times what any does.
const LIMIT: Duration = Duration::from_mins(10);

/// What is run as one process.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) program: Program,
    /// One test of the program, or all that the arguments let pass.
    pub(super) test: Option<String>,
    /// Further words for the program.
    pub(super) arguments: Vec<String>,
}

impl Job {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        match &self.test {
            Some(test) => format!("{}::{test}", self.program.name),
            None => self.program.name.clone(),
        }
    }
}

/// Runs the jobs in their order, so many at once, with these variables; what they say goes to files in `logs`.
pub(super) fn run(
    jobs: Vec<Job>,
    at_once: usize,
    variables: &[(&str, &str)],
    logs: &Path,
) -> Result<Tally> {
    fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let waiting = Mutex::new(VecDeque::from(jobs));
    let all = Mutex::new(Tally::default());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once)
            .map(|number| {
                let (waiting, all) = (&waiting, &all);
                let log = logs.join(format!("{number}.log"));
                scope.spawn(move || -> Result<()> {
                    loop {
                        let next =
                            waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(job) = next else { return Ok(()) };
                        let tally = work(&job, variables, &log)?;
                        all.lock().unwrap_or_else(PoisonError::into_inner).join(tally);
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs one job to its end, and says how it ended.
fn work(job: &Job, variables: &[(&str, &str)], log: &Path) -> Result<Tally> {
    let begun = Instant::now();
    let said = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut command = job.program.command();
    if let Some(test) = &job.test {
        command.args(["--exact", test]);
    }
    command.args(&job.arguments).envs(variables.iter().copied());
    command.stdout(said.try_clone()?).stderr(said).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", job.program.name))?;
    let forward = Forward::to(child.id());
    let status = end(&mut child)?;
    drop(forward);
    let said = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let mut tally = judge(job, status, &said);
    tally.took.insert(job.name(), begun.elapsed());
    Ok(tally)
}

/// Waits for a program's end, but not for ever; `None` where it had to be ended.
fn end(child: &mut Child) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > LIMIT {
            killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The last lines of what was said.
fn last(said: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = said.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    lines.into_iter().skip(skipped)
}

/// What a program that ended so has shown.
fn judge(job: &Job, status: Option<ExitStatus>, said: &str) -> Tally {
    let mut tally = Tally::of(&job.program.name);
    for line in said.lines() {
        tally.add(line);
        // As libtest has it, but that tests of all programs are among each other.
        if let Some(test) = line.strip_prefix("test ").filter(|test| test.contains(" ... ")) {
            out!("test {}::{test}", job.program.name);
        }
    }
    let why = match status {
        None => format!("it was ended after {} minutes", LIMIT.as_secs() / 60),
        // It did not live to say which test it was.
        Some(status) if !status.success() && tally.failed.is_empty() => status.to_string(),
        Some(_) if job.test.is_some() && tally.passed + tally.failed.len() != 1 => {
            "its program did not run it".to_owned()
        }
        Some(_) => return tally,
    };
    tally.failed.push(Failure {
        program: job.program.name.clone(),
        name: job.test.clone().unwrap_or_default(),
        said: last(said).map(str::to_owned).chain([why]).collect(),
    });
    tally
}
