//! `netctl doctor`.

use std::process::ExitCode;

use super::{
    Context, Result,
    bench::streams,
    settings::{FileArgs, Options, Settings},
};
use crate::{
    api::Client,
    doctor::{self, Report, Transfer},
    model::{DaemonNote, HostName},
};

/// The exit code where something was found.
const FOUND: u8 = 1;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Transfer by TCP to this host too, where `netctl bench serve` runs: finds devices on the way that break large packets
    #[arg(long, value_name = "HOST")]
    transfer: Option<HostName>,
}

impl Args {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let settings = Settings::resolve(Options::default(), &FileArgs::default())?;
        let mut report = doctor::examine(client, otherwise(settings)).await?;
        let transferred = match self.transfer {
            Some(to) => transfer(client, to).await.map(|transfer| report.add_transfer(&transfer)),
            None => Ok(()),
        };
        output.show(&report, Report::text)?;
        // Why it was not may well stand above.
        transferred?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
    }
}

async fn transfer(client: &Client, to: HostName) -> Result<Transfer> {
    let device = client.status().await?.underlay;
    let (overlay, underlay) = streams(client, &to).await?;
    Ok(Transfer { to, device, overlay, underlay })
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
