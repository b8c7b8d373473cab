//! `netctl exec`.

use clap::builder::NonEmptyStringValueParser;

use super::{Context, Result, inside::CommandLine};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sandbox by name, id or the beginning of its id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: String,
    #[command(flatten)]
    command: CommandLine,
}

impl Args {
    pub(super) async fn run(self, Context { client, .. }: &Context) -> Result {
        self.command.run(&client.sandbox(&self.sandbox).await?, None).await
    }
}
