//! `netctl bench`: between two hosts of the cluster, beside what their underlay does without netctl.
//!
//! One host serves, another measures. Each makes a sandbox with one service for the time, through its daemon; the one
//! that measures finds the other's service in the store, and by its id, which only the cluster's hosts know, gets
//! the other to answer.

mod findings;
mod generate;
mod measure;
mod place;
mod report;
mod serve;

pub(super) use self::measure::streams;

use clap::Subcommand;

use super::{Context, Result};

/// The port on which the end that serves is asked for loads, on its address of each path.
const PORT: u16 = 5281;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(flatten)]
    measure: Option<measure::Measure>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the other end, until interrupted or the time is over
    Serve(serve::Serve),
    /// The load generator by itself, where this command runs, without a daemon
    #[command(subcommand, hide = true)]
    Generate(generate::Command),
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result {
        match (self.command, self.measure) {
            (Some(Command::Serve(args)), _) => args.run(context).await,
            (Some(Command::Generate(command)), _) => command.run(&context.output),
            (None, Some(args)) => args.run(context).await,
            // Without a subcommand clap insists on the arguments.
            (None, None) => Err(super::Error::Unmeasurable("name a host to measure to".to_owned())),
        }
    }
}
