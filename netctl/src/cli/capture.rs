//! `netctl capture`.

mod place;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::builder::NonEmptyStringValueParser;
use nix::sys::utsname::uname;
use tokio::{signal::unix::SignalKind, task::spawn_blocking};

use self::place::Place;
use super::{Context, Error, Result, end::End, output};
use crate::{
    kernel,
    model::{HostName, Name, ServiceRef},
    observe::capture::{self, Captured, Filter, Limits, Session, Writer},
};

/// A path that means standard output.
const STDOUT: &str = "-";
const EXAMPLES: &str = "\
Examples:
  netctl capture --service web.dev -w web.pcapng        all that the service sends and gets
  netctl capture --network dev udp | tshark -N n -r -   what is UDP in dev, as it passes, with names
  netctl capture --outer --network dev -w dev.pcapng    the network between hosts, in its tunnels";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only the interface of this service, which is attached on this host
    #[arg(long, value_name = "SERVICE.NETWORK", conflicts_with_all = ["sandbox", "network"])]
    service: Option<ServiceRef>,
    /// Only the interfaces of this sandbox
    #[arg(long, value_name = "SANDBOX", conflicts_with = "network")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    sandbox: Option<String>,
    /// Only the interfaces in this network, with that of its gateway
    #[arg(long, value_name = "NETWORK")]
    network: Option<Name>,
    /// What hosts send each other for it instead: VXLAN on the underlay
    #[arg(long, conflicts_with = "sandbox")]
    outer: bool,
    /// Write to this file, or with - to standard output
    #[arg(short, long, value_name = "FILE", default_value = STDOUT, hide_default_value = true)]
    write: PathBuf,
    /// End after so many packets
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Keep so many bytes of each packet
    #[arg(long, value_name = "BYTES", default_value = "262144")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=262_144))]
    snaplen: u32,
    /// Which packets: an expression of pcap-filter(7), about those on the underlay with --outer
    #[arg(value_name = "FILTER", trailing_var_arg = true)]
    filter: Vec<OsString>,
}

impl Args {
    pub(super) async fn run(self, Context { client, output: _ }: &Context) -> Result {
        let limits = Limits { count: self.count, duration: self.duration };
        let to_stdout = self.write == Path::new(STDOUT);
        if to_stdout && io::stdout().is_terminal() {
            return Err(Error::Unusable(
                "a capture is nothing to read on a terminal: name a file with -w, or pipe it to `tshark -N n -r -`",
            ));
        }
        kernel::check_privileges()?;
        let mut end =
            End::expect([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])?;
        let said = Filter::new(&self.filter.join(OsStr::new(" ")).to_string_lossy(), self.snaplen);
        // What people said is tried by itself, so that an error is about that.
        said.compile().await?;
        let place = Place::find(client, &self, said).await?;
        let program = place.filter.compile().await?;
        let mut session = Session::open(place.points, &program).await?;

        let out: Box<dyn Write + Send> = if to_stdout {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(&self.write).map_err(|source| unwritable(&self.write, source))?)
        };
        let failed = |error| match error {
            capture::Error::Output(source) if !to_stdout => unwritable(&self.write, source),
            other @ (capture::Error::Output(_)
            | capture::Error::Filter { .. }
            | capture::Error::NoTcpdump
            | capture::Error::Interface { .. }
            | capture::Error::Gone(_)
            | capture::Error::Kernel(_)) => Error::Capture(other),
        };
        let mut writer = begin(out, &place.host, &session, &place.names)
            .map_err(|error| failed(capture::Error::Output(error)))?;
        let at: Vec<&str> = session.interfaces().map(|each| each.name.as_str()).collect();
        say(&format!("capturing at {}", at.join(", ")));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut running = spawn_blocking(move || {
            let captured = session.run(&mut writer, limits, &stopped, say);
            (captured, session.is_bereft())
        });
        let ended = tokio::select! {
            ended = &mut running => ended,
            _ = end.came() => {
                stop.store(true, Ordering::Relaxed);
                running.await
            }
        };
        let (captured, bereft) = ended.map_err(|_panicked| kernel::Error::Panicked)?;
        let captured = captured.map_err(failed)?;
        say(&summary(captured));
        if bereft && limits.count.is_none_or(|count| captured.packets < count) {
            let gone = "all interfaces are gone".to_owned();
            return Err(Error::Capture(capture::Error::Gone(gone)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes what stands before the packets.
fn begin(
    out: Box<dyn Write + Send>,
    host: &HostName,
    session: &Session,
    names: &place::Names,
) -> io::Result<Writer<BufWriter<Box<dyn Write + Send>>>> {
    let system = uname().map_or_else(
        |_errno| "Linux".to_owned(),
        |system| {
            let [name, release] = [system.sysname(), system.release()];
            format!("{} {}", name.to_string_lossy(), release.to_string_lossy())
        },
    );
    let comment = format!("captured by netctl on host {host}");
    let mut writer = Writer::begin(BufWriter::new(out), &system, &comment)?;
    session.interfaces().try_for_each(|interface| writer.interface(interface))?;
    writer.names(names)?;
    writer.flush()?;
    Ok(writer)
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

fn summary(Captured { packets, lost }: Captured) -> String {
    let were = if packets == 1 { "packet was" } else { "packets were" };
    match lost {
        0 => format!("{packets} {were} captured, and none lost"),
        lost => format!(
            "{packets} {were} captured, and {lost} lost: there was no time to take them; a filter or a smaller --snaplen leaves less to do"
        ),
    }
}

/// Says something beside the capture.
fn say(line: &str) {
    // Where standard error is closed, nobody wants to know.
    drop(io::stderr().write_all(output::lines([line]).as_bytes()));
}

fn seconds(text: &str) -> std::result::Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=1e9).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("write seconds, 0.1 at least")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_a_sentence() {
        for (packets, lost, expected) in [
            (0, 0, "0 packets were captured, and none lost"),
            (1, 0, "1 packet was captured, and none lost"),
            (
                7,
                2,
                "7 packets were captured, and 2 lost: there was no time to take them; a filter or a smaller --snaplen leaves less to do",
            ),
        ] {
            assert_eq!(summary(Captured { packets, lost }), expected);
        }
    }
}
