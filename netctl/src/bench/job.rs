//! What is asked for and what is answered: one JSON object a line.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Busy, Error};

/// What kind of load.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// TCP streams at full speed, from the client to the server
    TcpStream,
    /// One byte there and one back over one TCP connection, one after another
    TcpRr,
    /// A TCP connection, one byte there, one back, and its end by a reset, one after another
    TcpCrr,
    /// A datagram of one byte there and one back, one after another
    UdpRr,
    /// Datagrams of 18 bytes, in Ethernet frames of 64 bytes over IPv4, at full speed to the server
    UdpPps,
}

/// What a client asks a server for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What kind of load.
    pub kind: Kind,
    /// For how long it counts, in milliseconds: at most [`Job::LONGEST`].
    pub milliseconds: u64,
    /// How many TCP streams at once, at most [`Job::MOST_STREAMS`]; for [`Kind::TcpStream`] alone.
    pub streams: usize,
    /// The server's CPU, counted from 0; any where there is none.
    pub cpu: Option<usize>,
    /// What the server has to have been told too; empty where it asks for none.
    pub key: String,
}

/// A host's device towards the others, as far as it matters for speed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The host's name.
    pub host: String,
    /// The device's.
    pub name: String,
    /// In bytes.
    pub mtu: u32,
    /// The largest MTU that its driver takes, in bytes; 0 where it does not say.
    pub max_mtu: u32,
    /// What it could do and does not, in the words of `ethtool -K`.
    pub off: Vec<String>,
}

/// What one end saw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Side {
    /// Bytes of a stream, or packets, that arrived; 0 where the client counts.
    pub arrived: u64,
    /// In which time, in seconds.
    pub seconds: f64,
    /// How busy the machine was meanwhile.
    pub busy: Busy,
    /// The server's device, where it was told which that is.
    pub device: Option<Device>,
}

/// What a server says.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The load is to go to this port.
    Ready(u16),
    /// That is what came of it.
    Done(Side),
    /// It will not, or cannot any more.
    Refused(String),
}

/// What a client that counts itself says when it has.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Enough {}

impl Job {
    /// The longest time, in milliseconds.
    pub const LONGEST: u64 = 60_000;
    /// The most streams.
    pub const MOST_STREAMS: usize = 64;

    /// For how long it counts.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    /// Says what is wrong with it, if something is.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { milliseconds, streams, .. } = *self;
        if !(1..=Self::LONGEST).contains(&milliseconds) {
            return Err(format!("{milliseconds} ms are not from 1 to {}", Self::LONGEST));
        }
        if !(1..=Self::MOST_STREAMS).contains(&streams) {
            return Err(format!("{streams} streams are not from 1 to {}", Self::MOST_STREAMS));
        }
        Ok(())
    }
}

/// The longest line that is read, in bytes: whoever is at the other end cannot fill the memory.
const LONGEST_LINE: u64 = 4096;

/// The connection over which jobs are asked for.
#[derive(Debug)]
pub(super) struct Control {
    reader: BufReader<TcpStream>,
}

impl Control {
    pub(super) fn new(stream: TcpStream) -> Result<Self, Error> {
        stream.set_nodelay(true).map_err(Error::system("set up a connection"))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// How long [`Control::hear`] waits.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Error> {
        let stream = self.reader.get_ref();
        stream.set_read_timeout(Some(time)).map_err(Error::system("set up a connection"))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(super) fn say(&mut self, thing: &impl Serialize) -> Result<(), Error> {
        let line =
            serde_json::to_string(thing).map_err(|error| Error::Garbled(error.to_string()))? + "\n";
        let stream = self.reader.get_mut();
        stream.write_all(line.as_bytes()).map_err(Error::system("talk to the other end"))
    }

    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let mut line = String::new();
        let mut limited = self.reader.by_ref().take(LONGEST_LINE);
        limited.read_line(&mut line).map_err(Error::system("hear from the other end"))?;
        serde_json::from_str(&line).map_err(|_unusable| Error::Garbled(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(milliseconds: u64, streams: usize) -> Job {
        Job { kind: Kind::TcpRr, milliseconds, streams, cpu: None, key: String::new() }
    }

    #[test]
    fn a_job_without_bounds_is_refused_with_the_value() {
        assert_eq!(job(1, 1).check(), Ok(()));
        assert_eq!(job(60_000, 64).check(), Ok(()));
        for (job, expected) in [
            (job(0, 1), "0 ms are not from 1 to 60000"),
            (job(60_001, 1), "60001 ms are not from 1 to 60000"),
            (job(1, 0), "0 streams are not from 1 to 64"),
            (job(1, 65), "65 streams are not from 1 to 64"),
        ] {
            assert_eq!(job.check(), Err(expected.to_owned()));
        }
    }

    #[test]
    fn words_on_the_wire() {
        let text = serde_json::to_string(&job(500, 1)).expect("JSON");
        let line = r#"{"kind":"tcp_rr","milliseconds":500,"streams":1,"cpu":null,"key":""}"#;
        assert_eq!(text, line);
        assert_eq!(serde_json::from_str::<Job>(line).expect("a job"), job(500, 1));
        let ready = serde_json::to_string(&Answer::Ready(7)).expect("JSON");
        assert_eq!(ready, r#"{"ready":7}"#);
    }
}
