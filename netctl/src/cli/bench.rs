//! `netctl bench`.

mod generate;

use clap::Subcommand;

use super::{Context, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The load generator by itself, where this command runs, without a daemon
    #[command(subcommand, hide = true)]
    Generate(generate::Command),
}

impl Args {
    pub(super) fn run(self, Context { output, .. }: &Context) -> Result {
        let Command::Generate(command) = self.command;
        command.run(output)
    }
}
