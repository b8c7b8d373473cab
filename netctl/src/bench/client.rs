//! The end that asks, and that counts what is answered.

use std::{net::SocketAddr, time::Instant};

use serde::Serialize;

use super::{
    Busy, Device, Error, Job, Kind, PATIENCE, Side, WARM_UP,
    cpu::Sample,
    job::{Answer, Control, Enough},
    load::again,
    packets,
    socket::{self, Connection},
    stream, turns,
};

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Of which kind it was.
    pub kind: Kind,
    /// For how long it was counted.
    pub seconds: f64,
    /// Bytes of a stream, packets or turns.
    pub count: u64,
    /// Bits a second of a stream, else packets or turns a second.
    pub rate: f64,
    /// How long half of the turns took at most, in microseconds.
    pub p50_us: Option<f64>,
    /// How long 99 of 100 turns took at most, in microseconds.
    pub p99_us: Option<f64>,
    /// Datagrams without an answer.
    pub lost: Option<u64>,
    /// Packets that were sent, from the beginning to the end.
    pub sent: Option<u64>,
    /// TCP segments that were sent again, from the beginning to the end.
    pub retransmits: Option<u64>,
    /// The sender's congestion control.
    pub congestion: Option<String>,
    /// Bytes of payload in the largest TCP segment.
    pub segment: Option<u32>,
    /// How busy this machine was.
    pub client: Busy,
    /// How busy the other was.
    pub server: Busy,
    /// The other's device.
    pub device: Option<Device>,
}

/// Has the server at `to` do `job` together with this process, whose end of it runs on `cpu`.
pub fn run(to: SocketAddr, job: &Job, cpu: Option<usize>) -> Result<Outcome, Error> {
    job.check().map_err(Error::Refused)?;
    let mut control = Control::new(socket::connect(to)?)?;
    control.say(job)?;
    // It may have to wait first for another's load that never comes.
    control.wait(3 * PATIENCE)?;
    let mut data = to;
    data.set_port(match heard(&mut control)? {
        Answer::Ready(port) => port,
        other @ (Answer::Done(_) | Answer::Refused(_)) => return Err(unexpected(&other)),
    });
    control.wait(job.duration() + WARM_UP + PATIENCE)?;
    match job.kind {
        Kind::TcpStream => {
            let before = Sample::take()?;
            let load = stream::send(data, job, cpu)?;
            let side = done(&mut control)?;
            let client = Sample::take()?.since(&before)?;
            let connections = load.end()?;
            Ok(streamed(side, client, &connections))
        }
        Kind::UdpPps => {
            let before = Sample::take()?;
            let load = packets::send(data, job, cpu)?;
            let side = done(&mut control)?;
            let client = Sample::take()?.since(&before)?;
            let sent = load.end()?.iter().sum();
            Ok(Outcome { sent: Some(sent), ..Outcome::counted(job.kind, side, client) })
        }
        Kind::TcpRr | Kind::TcpCrr | Kind::UdpRr => {
            let turns = turns::ask(data, job, cpu)?;
            control.say(&Enough {})?;
            let side = done(&mut control)?;
            let side = Side { arrived: turns.times.total(), seconds: turns.seconds, ..side };
            Ok(Outcome {
                p50_us: Some(turns.times.quantile(0.5)),
                p99_us: Some(turns.times.quantile(0.99)),
                lost: (job.kind == Kind::UdpRr).then_some(turns.lost),
                ..Outcome::counted(job.kind, side, turns.busy)
            })
        }
    }
}

fn streamed(side: Side, client: Busy, connections: &[Connection]) -> Outcome {
    let outcome = Outcome::counted(Kind::TcpStream, side, client);
    Outcome {
        rate: outcome.rate * 8.0,
        retransmits: Some(connections.iter().map(|each| each.retransmits).sum()),
        congestion: connections.first().map(|each| each.congestion.clone()),
        segment: connections.first().map(|each| each.segment),
        ..outcome
    }
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "2^52 bytes take hours at any speed")]
    fn counted(kind: Kind, side: Side, client: Busy) -> Self {
        Self {
            kind,
            seconds: side.seconds,
            count: side.arrived,
            rate: side.arrived as f64 / side.seconds,
            p50_us: None,
            p99_us: None,
            lost: None,
            sent: None,
            retransmits: None,
            congestion: None,
            segment: None,
            client,
            server: side.busy,
            device: side.device,
        }
    }
}

fn heard(control: &mut Control) -> Result<Answer, Error> {
    let begin = Instant::now();
    let answer = control.hear();
    if let Err(Error::System { source, .. }) = &answer
        && again(source)
    {
        return Err(Error::Silence { what: "answer", seconds: begin.elapsed().as_secs() });
    }
    if matches!(&answer, Err(Error::Garbled(nothing)) if nothing.is_empty()) {
        return Err(Error::HungUp);
    }
    answer
}

fn done(control: &mut Control) -> Result<Side, Error> {
    match heard(control)? {
        Answer::Done(side) => Ok(side),
        other @ (Answer::Ready(_) | Answer::Refused(_)) => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Answer) -> Error {
    match answer {
        Answer::Refused(sentence) => Error::Refused(sentence.clone()),
        other @ (Answer::Ready(_) | Answer::Done(_)) => Error::Garbled(format!("{other:?}")),
    }
}
