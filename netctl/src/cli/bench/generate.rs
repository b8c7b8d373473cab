//! `netctl bench generate`: the load generator by itself, in the network namespace of the caller.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use clap::Subcommand;

use super::super::{Error, Result, output::Output};
use crate::{
    bench::{self, Flood, Job, Kind, Outcome, Server, Terms},
    model::MacAddr,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Answer and count, until this process is ended
    Serve {
        /// Address and port to be asked on
        #[arg(value_name = "ADDRESS:PORT")]
        at: SocketAddr,
    },
    /// Have a load between here and there, and print what came of it as JSON
    Run(Run),
    /// Send forged tunnel packets to a host, and print how many as JSON
    Flood(Forged),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Forged {
    /// Address and port of the host
    #[arg(value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Outer source address
    #[arg(long)]
    from: IpAddr,
    /// Network that they claim
    #[arg(long)]
    vni: u32,
    /// Inner destination
    #[arg(long)]
    mac: MacAddr,
    /// Give the outer datagrams a checksum
    #[arg(long)]
    checksum: bool,
    /// For how long they are counted
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// CPU of the sender, from 0; any where none is given
    #[arg(long)]
    cpu: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Run {
    /// What kind of load
    #[arg(value_enum)]
    kind: Kind,
    /// Where the other end is asked
    #[arg(value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// For how long it counts
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// How many TCP streams
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// CPU of this end, from 0; any where none is given
    #[arg(long)]
    cpu: Option<usize>,
    /// CPU of the other end
    #[arg(long)]
    server_cpu: Option<usize>,
}

impl Command {
    pub(super) fn run(self, output: &Output) -> Result {
        match self {
            Self::Serve { at } => {
                let server = Server::bind(at, Terms::default())?;
                output.print(&format!("listening on {}\n", server.address()))?;
                server.serve()?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Flood(Forged { to, from, vni, mac, checksum, milliseconds, cpu }) => {
                let flood = Flood { from, to, vni, mac: mac.0, checksum, milliseconds, cpu };
                output.inspect(&[flood.run()?], |flooded| format!("{flooded:?}\n"))
            }
            Self::Run(run) => output.inspect(&[run.outcome()?], |outcome| format!("{outcome:?}\n")),
        }
    }
}

impl Run {
    fn outcome(self) -> Result<Outcome, Error> {
        let Self { kind, to, milliseconds, streams, cpu, server_cpu } = self;
        let job = Job { kind, milliseconds, streams, cpu: server_cpu, key: String::new() };
        Ok(bench::run(to, &job, cpu)?)
    }
}
