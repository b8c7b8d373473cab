//! The one binary.

use std::process::ExitCode;

use clap::Parser as _;
use netctl::{
    cli::{Cli, Error},
    cni,
};

fn main() -> ExitCode {
    if cni::is_meant() {
        return cni::run();
    }
    Cli::parse().run().unwrap_or_else(|error: Error| error.report())
}
