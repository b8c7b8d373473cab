//! A command that netctl stands in for: it gets our signals, and we end as it does.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitCode, ExitStatus},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal as listen};

use super::Error;

/// What an exit code is where a signal ended the command, less the signal, as shells have it.
const BY_SIGNAL: i32 = 128;

/// The signals that are passed on. Make it before there is something to undo: none is lost from then on.
pub(super) struct Signals {
    streams: Vec<(Signal, tokio::signal::unix::Signal)>,
}

impl Signals {
    /// Takes the signals that ask a process to end, in place of their ending this one.
    pub(super) fn take() -> io::Result<Self> {
        let streams = [
            (Signal::SIGTERM, SignalKind::terminate()),
            (Signal::SIGHUP, SignalKind::hangup()),
            (Signal::SIGINT, SignalKind::interrupt()),
            (Signal::SIGQUIT, SignalKind::quit()),
        ]
        .into_iter()
        .map(|(signal, kind)| Ok((signal, listen(kind)?)))
        .collect::<io::Result<_>>()?;
        Ok(Self { streams })
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            let ready = |(signal, stream): &mut (Signal, tokio::signal::unix::Signal)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            };
            match self.streams.iter_mut().find_map(ready) {
                Some(signal) => std::task::Poll::Ready(signal),
                None => std::task::Poll::Pending,
            }
        })
        .await
    }

    /// Runs `command` to its end and passes signals on to it.
    pub(super) async fn run(&mut self, command: Command) -> Result<ExitCode, Error> {
        let program = command.get_program().to_owned();
        let failed = |source| failure(&program, source);
        let mut child = tokio::process::Command::from(command).spawn().map_err(failed)?;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(exit_code(status.map_err(failed)?)),
                signal = self.next() => pass_on(signal, child.id()),
            }
        }
    }
}

/// The words of a command line, as they are run.
pub(super) fn split(words: &[OsString]) -> Option<(&OsStr, &[OsString])> {
    words.split_first().map(|(program, arguments)| (&**program, arguments))
}

/// Why `program` does not run.
pub(super) fn failure(program: &OsStr, source: io::Error) -> Error {
    Error::Command { program: program.to_owned(), source }
}

fn pass_on(signal: Signal, child: Option<u32>) {
    // What is typed at a terminal reaches the child without us: it is in the same process group.
    let typed = matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && io::stdin().is_terminal();
    if let Some(id) = child.and_then(|id| i32::try_from(id).ok())
        && !typed
        && let Err(error) = signal::kill(Pid::from_raw(id), signal)
    {
        tracing::debug!(%error, %signal, "the command has ended before the signal");
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    // Both are from 0 to 255.
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn we_end_as_the_command_does() {
        let mut signals = Signals::take().expect("signals");
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
            let ended = signals.run(shell(script)).await.expect(script);
            assert_eq!(ended, ExitCode::from(code), "{script}");
        }
    }

    #[tokio::test]
    async fn a_signal_that_came_before_the_command_reaches_it() {
        let mut signals = Signals::take().expect("signals");
        signal::raise(Signal::SIGHUP).expect("raised");
        let ended = signals.run(shell("sleep 60")).await.expect("it runs");
        assert_eq!(ended, ExitCode::from(129));
    }

    #[tokio::test]
    async fn a_command_that_cannot_run_is_said() {
        let mut signals = Signals::take().expect("signals");
        let missing = signals.run(Command::new("no-such-command")).await.expect_err("missing");
        assert_eq!(missing.code(), 127);
        assert!(missing.to_string().starts_with("\"no-such-command\" cannot be started: No such"));
        let directory = signals.run(Command::new("/")).await.expect_err("a directory");
        assert_eq!(directory.code(), 126);
    }
}
