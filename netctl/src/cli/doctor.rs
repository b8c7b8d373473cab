//! `netctl doctor`.

use std::process::ExitCode;

use super::{
    Context, Result,
    settings::{FileArgs, Options, Settings},
};
use crate::{
    model::DaemonNote,
    observe::doctor::{self, Report},
};

/// The exit code where something was found.
const FOUND: u8 = 1;

pub(super) async fn run(Context { client, output }: &Context) -> Result {
    let settings = Settings::resolve(Options::default(), &FileArgs::default())?;
    let report = doctor::examine(client, otherwise(settings)).await?;
    output.show(&report, Report::text)?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// Where a daemon's things would be that has left no word of itself.
fn otherwise(settings: Settings) -> DaemonNote {
    DaemonNote {
        host: settings.host,
        state_dir: settings.state_dir,
        bpf_dir: settings.bpf_dir,
        underlay: settings.bind_interface,
        addresses: Vec::new(),
        vxlan_port: settings.vxlan_port,
    }
}
