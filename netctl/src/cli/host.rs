//! `netctl host`.

use clap::Subcommand;

use super::{Context, Result, output::lines, table::Table};
use crate::{
    model::{HostView, UnixTime},
    moment::unix_now,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the hosts of the cluster; the one that is asked is marked
    Ls {
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
    },
}

impl Command {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let Self::Ls { quiet } = self;
        let hosts = client.hosts().await?;
        if quiet {
            output.print(&lines(hosts.iter().map(|view| &view.host.name)))
        } else {
            output.show(&*hosts, |hosts| output.paint(table(hosts)))
        }
    }
}

fn table(hosts: &[HostView]) -> Table {
    let mut table = Table::new(["NAME", "THIS", "VTEP", "PORT", "MTU", "VERSION", "UP"]);
    for HostView { host, this } in hosts {
        table.row([
            host.name.to_string(),
            if *this { "*" } else { "" }.to_owned(),
            host.vteps.to_string(),
            host.vxlan_port.to_string(),
            host.mtu.to_string(),
            host.version.clone(),
            age(host.started),
        ]);
    }
    table
}

/// How long ago `time` was, in the largest unit that fits.
pub(super) fn age(time: UnixTime) -> String {
    // A clock that was set back, or another host's that is ahead, is no reason to fail.
    let seconds = unix_now().saturating_sub(time);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
