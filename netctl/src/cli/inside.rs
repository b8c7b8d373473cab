//! Running a command inside a sandbox.

use std::{ffi::OsString, future::pending, process::ExitCode};

use tokio::task::spawn_blocking;

use super::{Error, Result, end::End};
use crate::{
    kernel::{self, Ended, Netns, NetnsCommand},
    model::{HostName, SandboxView},
};

/// The program and its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct CommandLine {
    /// Command and its arguments
    #[arg(id = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl CommandLine {
    /// Fails where the command surely cannot be started: before anything is made for it.
    pub(super) fn check(&self) -> Result<()> {
        match self.words.first().and_then(|program| kernel::unstartable(program)) {
            Some(Ended::NotStarted(code, sentence)) => Err(Error::NotStarted { code, sentence }),
            Some(Ended::Ran(_)) | None => Ok(()),
        }
    }

    /// Runs it in `sandbox` to its end; the exit code is its own. What `end` has taken before the command's own handlers
    /// stand, the command gets once it is there.
    pub(super) async fn run(self, sandbox: &SandboxView, mut end: Option<&mut End>) -> Result {
        let mut words = self.words.into_iter();
        let program = words.next().unwrap_or_default();
        let netns = Netns::open(&sandbox.sandbox.netns)?;
        let command = NetnsCommand::new(&netns, program)
            .arguments(words)
            .resolv_conf(&sandbox.resolv_conf)
            .hosts(&sandbox.hosts)
            .hostname(sandbox.sandbox.hostname.as_ref().map(HostName::as_str));
        let mut running = spawn_blocking(move || command.run());
        let ended = loop {
            let taken = async {
                match &mut end {
                    Some(end) => end.came().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ended = &mut running => break ended,
                signal = taken => kernel::hand_on(signal.as_raw_value()),
            }
        };
        match ended.unwrap_or(Err(kernel::Error::Panicked))? {
            Ended::Ran(code) => Ok(ExitCode::from(code)),
            Ended::NotStarted(code, sentence) => Err(Error::NotStarted { code, sentence }),
        }
    }
}
