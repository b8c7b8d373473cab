//! Measuring one path between two places: TCP throughput and ping time.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use testbed::{Host, Netns, Process, eventually, output};

/// Somewhere that commands can run: a host, a namespace, a container.
pub(crate) trait Place {
    fn command(&self, words: &[&str]) -> Command;
}

impl Place for Host {
    fn command(&self, words: &[&str]) -> Command {
        Self::command(self, words)
    }
}

impl Place for Netns {
    fn command(&self, words: &[&str]) -> Command {
        Self::command(self, words)
    }
}

/// A sandbox on a host, entered by `netctl exec`.
pub(crate) struct Container<'a> {
    pub(crate) host: &'a Host,
    pub(crate) name: &'a str,
}

impl Place for Container<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let enter = ["netctl", "exec", self.name, "--"];
        self.host.command(enter.iter().chain(words))
    }
}

impl Container<'_> {
    /// Its address on its only interface.
    pub(crate) fn address(&self) -> Result<String> {
        let words = ["ip", "-4", "-o", "address", "show", "dev", "eth0"];
        let text = output(self.command(&words), Duration::from_secs(10))?.ok()?;
        // "2: eth0    inet 10.1.0.2/24 brd …"
        let cidr = text.split_whitespace().skip_while(|word| *word != "inet").nth(1);
        let address = cidr.and_then(|cidr| cidr.split('/').next());
        Ok(address.with_context(|| format!("{} has no address: {text}", self.name))?.to_owned())
    }
}

/// Which CPUs the two ends of a stream run on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// One for each end, as on two machines.
    Two,
    /// The same for both: then the figure is the whole cost of the path, and the steadiest.
    One,
}

impl Cpus {
    const ALL: [Self; 2] = [Self::Two, Self::One];

    /// That of the server; the client has the first.
    fn server(self) -> &'static str {
        let single = thread::available_parallelism().is_ok_and(|count| count.get() == 1);
        if self == Self::One || single { "0" } else { "1" }
    }

    fn port(self) -> &'static str {
        match self {
            Self::Two => "5201",
            Self::One => "5202",
        }
    }
}

/// One way between two places, with servers at its far end.
pub(crate) struct Path<'a> {
    client: &'a dyn Place,
    address: String,
    _servers: Vec<Process>,
}

#[derive(Deserialize)]
struct Report {
    end: End,
}

#[derive(Deserialize)]
struct End {
    sum_received: Received,
    sender_tcp_congestion: String,
}

#[derive(Deserialize)]
struct Received {
    bits_per_second: f64,
}

impl<'a> Path<'a> {
    /// Prepares the way from `client` to `address` at `server`: both ends send with cubic.
    ///
    /// By the route, because bbr (the default of some machines) without its queue makes TCP
    /// figures a matter of chance, and what iperf3 can choose comes after the connection is made.
    pub(crate) fn new(
        client: &'a dyn Place,
        server: &dyn Place,
        address: &str,
        log: &std::path::Path,
    ) -> Result<Self> {
        use_cubic(client)?;
        use_cubic(server)?;
        let servers = Cpus::ALL.map(|cpus| {
            let log = log.with_extension(format!("{}.log", cpus.port()));
            listen(server, cpus, &log)
        });
        let servers = servers.into_iter().collect::<Result<_>>()?;
        Ok(Self { client, address: address.to_owned(), _servers: servers })
    }

    /// One TCP stream for `seconds`, in Gb/s as the receiver counts.
    pub(crate) fn tcp(&self, cpus: Cpus, seconds: u32) -> Result<f64> {
        let time = seconds.to_string();
        let mut words = vec!["taskset", "-c", "0", "iperf3", "-J", "-t", &time];
        words.extend(["-c", &self.address, "-p", cpus.port()]);
        let deadline = Duration::from_secs(u64::from(seconds) + 20);
        let text = output(self.client.command(&words), deadline)?.ok()?;
        let report: Report = serde_json::from_str(&text)
            .with_context(|| format!("iperf3 says something unexpected: {text}"))?;
        let End { sum_received, sender_tcp_congestion: congestion } = report.end;
        ensure!(congestion == "cubic", "the stream ran under {congestion} and says nothing");
        Ok(sum_received.bits_per_second / 1e9)
    }

    /// The mean of `count` pings, 5 ms apart, in milliseconds; all must be answered.
    pub(crate) fn ping(&self, count: u32) -> Result<f64> {
        let count = count.to_string();
        let words = ["ping", "-q", "-i", "0.005", "-c", &count, &self.address];
        let text = output(self.client.command(&words), Duration::from_mins(1))?.ok()?;
        ensure!(text.contains(" 0% packet loss"), "pings were lost:\n{text}");
        // The last line is "rtt min/avg/max/mdev = 0.031/0.045/0.101/0.009 ms".
        let mean = text.lines().last().and_then(|line| line.split('/').nth(4)?.parse().ok());
        mean.with_context(|| format!("ping says something unexpected:\n{text}"))
    }
}

/// Starts an iperf3 server and waits until it listens.
fn listen(server: &dyn Place, cpus: Cpus, log: &std::path::Path) -> Result<Process> {
    let pinned = ["taskset", "-c", cpus.server()];
    let words = [&pinned[..], &["iperf3", "-s", "--forceflush", "-p", cpus.port()]].concat();
    let mut process = Process::start(server.command(&words), log)?;
    eventually("iperf3 listens", Duration::from_secs(10), || {
        ensure!(process.alive(), "iperf3 ended: {}", process.log());
        ensure!(process.log().contains("listening"), "it says: {}", process.log());
        Ok(())
    })?;
    Ok(process)
}

/// Has all that a place sends go by cubic.
pub(crate) fn use_cubic(place: &dyn Place) -> Result<()> {
    let deadline = Duration::from_secs(10);
    let routes = output(place.command(&["ip", "-4", "route", "show"]), deadline)?.ok()?;
    for route in routes.lines().filter(|route| !route.contains(" congctl ")) {
        let mut words = vec!["ip", "route", "replace"];
        words.extend(route.split_whitespace());
        words.extend(["congctl", "cubic"]);
        output(place.command(&words), deadline)?.ok()?;
    }
    Ok(())
}

/// The middle of a set of figures.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(high), Some(low)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (Some(figure), _) => *figure,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }
}
