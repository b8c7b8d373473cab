//! Finds what building and testing need, and installs what is missing.

mod linker;
mod packages;
mod quiet;

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::say;

/// There is nothing to choose: what is there is used, what is missing is installed.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Options {}

pub(crate) fn run(_: Options) -> Result<()> {
    let begin = Instant::now();
    if ensure()? {
        say::done(&format!("everything needed is here now ({} s)", begin.elapsed().as_secs()));
    } else {
        say::done("everything needed is here");
    }
    Ok(())
}

/// The same in silence where nothing is missing; says whether something was installed.
pub(crate) fn ensure() -> Result<bool> {
    let packages = packages::ensure()?;
    let linker = linker::ensure()?;
    Ok(packages || linker)
}
