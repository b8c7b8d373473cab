//! Running a command with a deadline, and trying again until something holds.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::interrupt::{Forward, gate};

/// How long a command may take where nothing else is said.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, as a person would type it.
    pub command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The exit code; -1 if a signal ended the command.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// What it wrote to stdout, or an error with all that it said if it did not succeed.
    pub fn ok(self) -> Result<String> {
        ensure!(
            self.success(),
            "`{}`: {}\n{}{}",
            self.command,
            self.status,
            self.stdout,
            self.stderr
        );
        Ok(self.stdout)
    }
}

/// Runs `program` with `args` where this process is.
pub fn output_of<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(args);
    output(command, DEADLINE)
}

/// Runs a command to its end with nothing on stdin, and kills it and its process group after
/// `deadline`, which is an error.
///
/// Its output goes through files: what it leaves running in the background cannot keep a pipe
/// open, and it can never block on one that is full.
pub fn output(command: Command, deadline: Duration) -> Result<Output> {
    finish(command, Stdio::null(), deadline)
}

/// As [`output`], with `input` on stdin.
pub fn output_fed(command: Command, input: &str, deadline: Duration) -> Result<Output> {
    let mut stdin = tempfile::tempfile().context("cannot make a temporary file")?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    finish(command, stdin.into(), deadline)
}

fn finish(mut command: Command, stdin: Stdio, deadline: Duration) -> Result<Output> {
    let shown = shown(&command);
    let mut stdout = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut stderr = tempfile::tempfile().context("cannot make a temporary file")?;
    command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
    let passed = gate();
    let mut child = command.spawn().with_context(|| format!("cannot run `{shown}`"))?;
    let forward = Forward::to(child.id());
    drop(passed);
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
            child.wait()?;
            bail!(
                "`{shown}` did not end within {deadline:?}\n{}{}",
                text(&mut stdout)?,
                text(&mut stderr)?
            );
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    drop(forward);
    drop(gate());
    Ok(Output { command: shown, status, stdout: text(&mut stdout)?, stderr: text(&mut stderr)? })
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// For a result that nothing depends on: the place says why.
pub(crate) fn ignore<T, E>(_: Result<T, E>) {}

/// A command as a person would type it, without the words that enter a namespace.
pub(crate) fn shown(command: &Command) -> String {
    let mut words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if words.first().is_some_and(|program| program == "nsenter")
        && let Some(separator) = words.iter().position(|word| word == "--")
    {
        words.drain(..=separator);
    }
    words.join(" ")
}

/// Between two looks of [`eventually`], at first and after some seconds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Tries `probe` again and again until it gives a value, and fails with the last reason after
/// `deadline`. `what` completes the sentence "… did not come true".
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() > deadline => {
                return Err(anyhow!("{what}: not within {deadline:?}: {error:#}"));
            }
            Err(_) => {}
        }
        drop(gate());
        // Who has waited for long may wait a little longer: what looks takes its time from what is waited for.
        sleep((begun.elapsed() / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}
