//! `netctl bench HOST`.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use tokio::signal::unix::SignalKind;

use super::{
    super::{Context, Error, Result, end::End},
    PORT,
    findings::{Moved, Seen, findings},
    place::{self, Place},
    report::{Figure, Report},
};
use crate::{
    api::Client,
    bench::{self, Device, Job, Kind, Outcome},
    doctor::offloads_off,
    kernel::{Netlink, Netns},
    model::{CounterView, HostName, StatusView},
};

/// Each load runs this often on each path.
const ROUNDS: usize = 3;

/// For how long a stream runs that is only to tell whether large packets pass, in milliseconds.
const SHORT: u64 = 300;

/// The loads, in the order in which they run.
const LOADS: [(Kind, usize); 5] = [
    (Kind::TcpStream, 1),
    (Kind::TcpStream, 4),
    (Kind::TcpRr, 1),
    (Kind::UdpRr, 1),
    (Kind::UdpPps, 1),
];

#[derive(Debug, clap::Args)]
pub(super) struct Measure {
    /// Host to measure to, where `netctl bench serve` runs
    host: HostName,
    /// For how long each load runs, three times on each path
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=10_000))]
    milliseconds: u64,
}

impl Measure {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let mut end = End::expect(kinds).map_err(Error::Start)?;
        let Met { status, network, ends, place } = meet(client, &self.host).await?;
        // A signal that came meanwhile has it end before it begins.
        let outcome = tokio::select! {
            biased;
            signal = end.came() => Err(Error::Interrupted(signal)),
            report = self.measure(client, &status, &place, &ends, network) => report,
        };
        let report = place.remove(client, outcome).await?;
        output.show(&report, Report::text)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(
        &self,
        client: &Client,
        status: &StatusView,
        place: &Place,
        ends: &Ends,
        network: String,
    ) -> Result<Report> {
        let inside = place.netns()?;
        let outside = Netns::current()?;
        let device = device(status).await?;
        let before = client.counters().await?;
        let mut taken: Vec<(usize, Vec<Outcome>, Vec<Outcome>)> =
            (0..LOADS.len()).map(|load| (load, Vec::new(), Vec::new())).collect();
        for _ in 0..ROUNDS {
            for (load, overlay, underlay) in &mut taken {
                let (kind, streams) = LOADS[*load];
                let milliseconds = self.milliseconds;
                let job = Job { kind, milliseconds, streams, cpu: None, key: ends.key.clone() };
                overlay.push(ends.run(&inside, ends.overlay, &job).await?);
                underlay.push(ends.run(&outside, ends.underlay, &job).await?);
            }
        }
        let moved = moved(&before, &client.counters().await?);
        let figures = taken.iter().map(|(load, overlay, underlay)| {
            let (kind, streams) = LOADS[*load];
            Figure::new(kind, streams, overlay, underlay)
        });
        let overlays: Vec<&Outcome> = taken.iter().flat_map(|(_, overlay, _)| overlay).collect();
        let far = overlays.iter().find_map(|outcome| outcome.device.clone());
        let seen = Seen {
            devices: [Some(device), far].into_iter().flatten().collect(),
            from: status.host.to_string(),
            to: self.host.to_string(),
            outcomes: overlays,
            big_tcp: status.big_tcp.clone(),
            moved,
        };
        Ok(Report {
            from: status.host.to_string(),
            to: self.host.to_string(),
            network,
            mtu: place.mtu().await?,
            rounds: ROUNDS,
            milliseconds: self.milliseconds,
            figures: figures.collect(),
            findings: findings(&seen),
        })
    }
}

/// The rates of one TCP stream to a host where `netctl bench serve` runs, in bits a second: by an overlay network, and by
/// the underlay. The better of several each; one that breaks off has moved nothing.
pub(in crate::cli) async fn streams(client: &Client, host: &HostName) -> Result<(f64, f64)> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let mut end = End::expect(kinds).map_err(Error::Start)?;
    let Met { ends, place, .. } = meet(client, host).await?;
    let outcome = tokio::select! {
        biased;
        signal = end.came() => Err(Error::Interrupted(signal)),
        rates = ends.streams(&place) => rates,
    };
    place.remove(client, outcome).await
}

/// Both ends of a measurement.
struct Met {
    status: StatusView,
    network: String,
    ends: Ends,
    place: Place,
}

/// Makes this end for the one that serves on `host`.
async fn meet(client: &Client, host: &HostName) -> Result<Met> {
    let status = client.status().await?;
    let underlay = other(client, &status, host).await?;
    place::sweep(client).await?;
    let (network, key, overlay) = place::server(client, host).await?;
    let ends = Ends { key: key.as_str().to_owned(), overlay, underlay };
    let place = Place::make(client, place::End::Client, &network).await?;
    Ok(Met { status, network, ends, place })
}

/// The other host's address on the underlay, of the family that tunnels to it have.
async fn other(client: &Client, status: &StatusView, host: &HostName) -> Result<IpAddr> {
    let hosts = client.hosts().await?;
    let Some(found) = hosts.iter().find(|view| view.host.name == *host) else {
        let names: Vec<String> = hosts.iter().map(|view| view.host.name.to_string()).collect();
        let names = names.join(", ");
        return Err(Error::Unmeasurable(format!("there is no host {host}: there are {names}")));
    };
    if found.this {
        let sentence = format!("{host} is this host: name another of the cluster");
        return Err(Error::Unmeasurable(sentence));
    }
    status.vteps.towards(&found.host.vteps).ok_or_else(|| {
        let sentence = format!("{host} has no address of a family that this host has");
        Error::Unmeasurable(sentence)
    })
}

/// Where the other end answers.
struct Ends {
    key: String,
    overlay: IpAddr,
    underlay: IpAddr,
}

impl Ends {
    async fn run(&self, netns: &Netns, to: IpAddr, job: &Job) -> Result<Outcome> {
        let (to, job) = (SocketAddr::new(to, PORT), job.clone());
        Ok(netns.run(move || bench::run(to, &job, None)).await??)
    }

    async fn streams(&self, place: &Place) -> Result<(f64, f64)> {
        let (inside, outside) = (place.netns()?, Netns::current()?);
        let key = self.key.clone();
        let job = Job { kind: Kind::TcpStream, milliseconds: SHORT, streams: 1, cpu: None, key };
        let (mut overlay, mut underlay) = (0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            let rate = |outcome: Result<Outcome>| outcome.map_or(0.0, |outcome| outcome.rate);
            underlay = underlay.max(rate(self.run(&outside, self.underlay, &job).await));
            overlay = overlay.max(rate(self.run(&inside, self.overlay, &job).await));
        }
        Ok((overlay, underlay))
    }
}

/// This host's device towards the others.
pub(super) async fn device(status: &StatusView) -> Result<Device> {
    let netlink = Netlink::open(&Netns::current()?).await?;
    let link = netlink.link_by_name(&status.underlay).await?;
    let off = offloads_off(&netlink, &link.name).await?;
    let off = off.into_iter().map(|off| off.word.to_owned()).collect();
    let host = status.host.to_string();
    Ok(Device { host, name: link.name, mtu: link.mtu, max_mtu: link.sizes.mtu, off })
}

/// What was counted meanwhile.
fn moved(before: &[CounterView], after: &[CounterView]) -> Vec<Moved> {
    let same = |one: &CounterView, other: &CounterView| {
        one.program == other.program && one.counter == other.counter
    };
    let of = |after: &CounterView| {
        let earlier = before.iter().find(|before| same(before, after));
        let packets = after.packets.saturating_sub(earlier.map_or(0, |before| before.packets));
        Moved {
            counter: after.counter.clone(),
            description: after.description.clone(),
            drop: after.drop,
            packets,
        }
    };
    after.iter().map(of).filter(|moved| moved.packets > 0).collect()
}
