//! `netctl monitor`.

mod view;

use std::process::ExitCode;

use tokio::signal::unix::SignalKind;

use self::view::{HEADER, text};
use super::{Context, Error, Result, end::End, output::Output};
use crate::model::{EventFilter, EventView, Name, Protocol, Reason, ServiceRef};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only packets that are dropped
    #[arg(long)]
    drops: bool,
    /// Only first packets of flows
    #[arg(long)]
    flows: bool,
    /// Only in this network
    #[arg(long, value_name = "NETWORK")]
    network: Option<Name>,
    /// Only from or to this service
    #[arg(long, value_name = "SERVICE[.NETWORK]")]
    service: Option<ServiceRef>,
    /// Only what is dropped for this reason; `netctl counters --all` lists them
    #[arg(long, value_name = "REASON", conflicts_with = "flows")]
    reason: Option<Reason>,
    /// Only of this protocol, as it is shown: tcp, udp, icmp, icmpv6, sctp, arp, ip-47, 0x88cc
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// Only from or to this port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Args {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let Self { drops, flows, network, service, reason, protocol, port, count } = self;
        let (service, of) = service.map(|service| (service.service, service.network)).unzip();
        let network = network.or(of.flatten());
        let filter = EventFilter { drops, flows, network, service, reason, protocol, port };
        let mut end =
            End::expect([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])?;
        let mut events = client.events(&filter).await?;
        if !output.is_json() {
            output.print(HEADER)?;
        }
        let mut left = count;
        while left != Some(0) {
            let event = tokio::select! {
                _ = end.came() => break,
                event = events.next() => event?,
            };
            show(output, &event)?;
            if !matches!(event, EventView::Lost { .. }) {
                left = left.map(|left| left - 1);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(output: &Output, event: &EventView) -> Result<(), Error> {
    let line = if output.is_json() {
        serde_json::to_string(event).map_err(std::io::Error::from)? + "\n"
    } else {
        text(event)
    };
    output.print(&line).map(drop)
}
