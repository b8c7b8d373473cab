//! `netctl trace`.

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;

use super::{Context, Error, Result};
use crate::trace::{self, Protocol, Question, Report};

/// The exit code where it would not arrive, or its answer not come back.
const STOPS: u8 = 1;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who sends it: a service, a sandbox, or an address of this host
    #[arg(value_name = "SRC", value_parser = NonEmptyStringValueParser::new())]
    source: String,
    /// Whom it is for: a service on any host, or an address
    #[arg(value_name = "DST", value_parser = NonEmptyStringValueParser::new())]
    destination: String,
    /// The port that it is for; without --proto, of TCP
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// What it is [default: icmp, or tcp where a port is given]
    #[arg(long, value_enum, value_name = "tcp|udp|icmp", hide_possible_values = true)]
    proto: Option<Protocol>,
    /// By IPv6, where there is a choice
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Bytes of the IP packet, which is not to be cut
    #[arg(long, value_name = "BYTES")]
    size: Option<u32>,
}

impl Args {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let Self { source, destination, port, proto, ipv6, size } = self;
        let default = if port.is_some() { Protocol::Tcp } else { Protocol::Icmp };
        let protocol = proto.unwrap_or(default);
        let port = match (protocol, port) {
            (Protocol::Icmp, None) => 0,
            (Protocol::Icmp, Some(_)) => {
                return Err(Error::Unusable("--port goes with --proto tcp or --proto udp"));
            }
            (Protocol::Tcp | Protocol::Udp, Some(port)) => port,
            (Protocol::Tcp | Protocol::Udp, None) => {
                return Err(Error::Unusable("--proto tcp and --proto udp need a --port"));
            }
        };
        let question = Question { source, destination, protocol, port, ipv6, size };
        let report = trace::trace(client, &question).await?;
        output.show(&report, Report::text)?;
        Ok(if report.arrives && report.returns { ExitCode::SUCCESS } else { ExitCode::from(STOPS) })
    }
}
