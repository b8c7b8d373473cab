//! The one binary.

use std::process::ExitCode;

use clap::Parser as _;
use netctl::cli::{Cli, Error};

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error: Error| error.report())
}
