//! Why a command failed, and the exit code of it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use tokio::signal::unix::SignalKind;

use super::{output, settings};
use crate::{api::client, bench, kernel, model::Name, observe::capture, trace};

/// The request failed.
const FAILED: u8 = 1;
/// Arguments or settings are unusable; clap ends with the same.
const UNUSABLE: u8 = 2;
/// The daemon cannot be reached.
const UNREACHABLE: u8 = 3;
/// To which the number of a signal is added where that ended a command, as shells have it.
const BY_SIGNAL: i32 = 128;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the daemon failed.
    #[error(transparent)]
    Request(#[from] client::Error),
    /// Some calls to the daemon failed.
    #[error("{}", lines(.0))]
    Requests(Vec<client::Error>),
    /// Arguments do not go together.
    #[error("{0}")]
    Unusable(&'static str),
    /// A setting of the daemon is unusable.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The result cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is in the way that somebody else made.
    #[error("{} is not netctl's: remove it, or choose another place", .0.display())]
    NotOurs(PathBuf),
    /// Somebody else's network configuration has the name that ours is to have.
    #[error(
        "{} has the name {name} already: remove it, or choose another --network", path.display()
    )]
    NameTaken {
        /// Which.
        path: PathBuf,
        /// The name.
        name: Name,
    },
    /// The command of `run` or `exec` cannot be started.
    #[error("{sentence}")]
    NotStarted {
        /// What a shell would end with.
        code: u8,
        /// Why.
        sentence: String,
    },
    /// A signal came before the command of `run` was started.
    #[error("signal {} came before the command was started", .0.as_raw_value())]
    Signal(SignalKind),
    /// The sandbox of a command cannot be entered.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// A measurement failed.
    #[error(transparent)]
    Bench(#[from] bench::Error),
    /// Packets cannot be captured, or not any more.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// There is no such place to capture packets at.
    #[error("{0}")]
    NoPlace(String),
    /// There is nothing to measure, or nobody to measure with.
    #[error("{0}")]
    Unmeasurable(String),
    /// A signal came before a measurement was complete.
    #[error("signal {} came before the measurement was complete", .0.as_raw_value())]
    Interrupted(SignalKind),
    /// A command failed, and so did what had to be done after it.
    #[error("{failed}\n{left}")]
    Both {
        /// The command's failure.
        failed: Box<Self>,
        /// The other.
        left: client::Error,
    },
    /// A packet cannot be followed.
    #[error(transparent)]
    Trace(#[from] trace::Error),
    /// The process itself cannot be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// Not all of netctl could be taken away from this host.
    #[error("{}", .0.join("\n"))]
    Left(Vec<String>),
    /// The daemon cannot start or has failed.
    #[error("{0:#}")]
    Daemon(anyhow::Error),
}

impl Error {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Request(error) | Self::Trace(trace::Error::Request(error)) => code_of(error),
            Self::Requests(errors) => errors.iter().map(code_of).max().unwrap_or(FAILED),
            Self::NotStarted { code, .. } => *code,
            Self::Signal(signal) | Self::Interrupted(signal) => {
                u8::try_from(BY_SIGNAL + signal.as_raw_value()).unwrap_or(FAILED)
            }
            Self::Both { failed, .. } => failed.code(),
            Self::Settings(_) | Self::Unusable(_) => UNUSABLE,
            Self::Output(error) | Self::Capture(capture::Error::Output(error))
                if error.kind() == io::ErrorKind::BrokenPipe =>
            {
                0
            }
            Self::Output(_)
            | Self::Capture(_)
            | Self::NoPlace(_)
            | Self::File { .. }
            | Self::Unreadable { .. }
            | Self::NotOurs(_)
            | Self::NameTaken { .. }
            | Self::Start(_)
            | Self::Left(_)
            | Self::Daemon(_)
            | Self::Kernel(_)
            | Self::Trace(_)
            | Self::Bench(_)
            | Self::Unmeasurable(_) => FAILED,
        }
    }

    /// Says what is wrong on standard error and gives the exit code.
    ///
    /// A reader of standard output that has seen enough is no failure: nothing is said then.
    pub fn report(&self) -> ExitCode {
        let code = self.code();
        if code != 0 {
            let text = self.to_string();
            let lines = output::lines(text.lines().map(|line| format!("error: {line}")));
            // Where standard error is closed, the exit code has to say it all.
            drop(io::stderr().write_all(lines.as_bytes()));
        }
        ExitCode::from(code)
    }
}

fn lines(errors: &[client::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn code_of(error: &client::Error) -> u8 {
    match error {
        client::Error::Unreachable { .. } | client::Error::Denied { .. } => UNREACHABLE,
        client::Error::Failed(_) | client::Error::Garbled { .. } => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{self, Kind};

    fn failed(kind: Kind) -> client::Error {
        controller::Error::new(kind, "network dev is taken").into()
    }

    fn unreachable() -> client::Error {
        client::Error::Unreachable { socket: "/run/x.sock".into(), reason: "gone".to_owned() }
    }

    #[test]
    fn exit_codes() {
        for kind in [
            Kind::Unusable,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Unavailable,
            Kind::Internal,
        ] {
            assert_eq!(Error::from(failed(kind)).code(), 1, "{kind:?}");
        }
        assert_eq!(Error::from(unreachable()).code(), 3);
        let denied = client::Error::Denied { socket: "/run/x.sock".into() };
        assert_eq!(
            denied.to_string(),
            "netctl daemon's socket /run/x.sock is not for this user: run netctl as root"
        );
        assert_eq!(Error::from(denied).code(), 3);
        let several = vec![failed(Kind::NotFound), unreachable()];
        assert_eq!(Error::Requests(several).code(), 3);
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::StorageFull)).code(), 1);
        assert_eq!(Error::Signal(SignalKind::terminate()).code(), 143);
        let failed = Error::NotStarted { code: 127, sentence: "cannot run x".to_owned() };
        assert_eq!(failed.code(), 127);
        let both = Error::Both { failed: Box::new(failed), left: unreachable() };
        assert_eq!(both.code(), 127);
        assert!(both.to_string().starts_with("cannot run x\nnetctl daemon cannot"), "{both}");
    }

    #[test]
    fn each_failure_is_a_sentence() {
        let several = vec![failed(Kind::Conflict), unreachable()];
        assert_eq!(
            Error::Requests(several).to_string(),
            "network dev is taken\n\
             netctl daemon cannot be reached at /run/x.sock: gone; \
             start it with `netctl daemon`, or name its socket with --socket"
        );
    }
}
