//! Turns: one byte there, one byte back, the next only then. Who asks takes the time of each.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    Busy, Error, Job, Kind, PATIENCE, WARM_UP,
    cpu::Sample,
    histogram::Histogram,
    load::{Load, Worker, again},
    packets, socket, stream,
};

/// After how long a datagram without an answer counts as lost.
const LOST: Duration = Duration::from_millis(500);

/// What came of some turns.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) times: Histogram,
    pub(super) seconds: f64,
    pub(super) busy: Busy,
    /// Datagrams without an answer.
    pub(super) lost: u64,
}

/// Answers on the one connection that `peer` makes.
pub(super) fn answer(
    listener: TcpListener,
    peer: IpAddr,
    cpu: Option<usize>,
) -> Result<Load<()>, Error> {
    started(cpu, move |worker| {
        let end = Instant::now() + PATIENCE;
        let mut stream = stream::accept(&listener, peer, end)?;
        stream.set_nodelay(true).map_err(Error::system("set up a connection"))?;
        let mut byte = [0];
        while !worker.stopped() {
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => stream.write_all(&byte).map_err(Error::system("answer"))?,
                Err(error) if again(&error) => {}
                Err(error) => return Err(Error::System { doing: "read", source: error }),
            }
        }
        Ok(())
    })
}

/// Answers on each connection that `peer` makes, one after another.
pub(super) fn answer_each(
    listener: TcpListener,
    peer: IpAddr,
    cpu: Option<usize>,
) -> Result<Load<()>, Error> {
    started(cpu, move |worker| {
        let mut byte = [0];
        while !worker.stopped() {
            let mut stream = match listener.accept() {
                Ok((stream, from)) if from.ip() == peer => stream,
                Ok(_) => continue,
                Err(error) if again(&error) => continue,
                Err(source) => return Err(Error::System { doing: "accept a connection", source }),
            };
            // A turn that fails is the client's to notice; the last read waits for its reset.
            drop(
                stream
                    .read_exact(&mut byte)
                    .and_then(|()| stream.write_all(&byte))
                    .and_then(|()| stream.read(&mut byte)),
            );
        }
        Ok(())
    })
}

/// Answers each datagram from `peer`.
pub(super) fn answer_datagrams(
    socket: UdpSocket,
    peer: IpAddr,
    cpu: Option<usize>,
) -> Result<Load<()>, Error> {
    started(cpu, move |worker| {
        if !packets::meet(&socket, peer, worker)? {
            return Ok(());
        }
        // The first that came is answered too.
        let mut due = true;
        let mut byte = [0];
        while !worker.stopped() {
            if due {
                socket.send(&byte).map_err(Error::system("answer"))?;
            }
            due = match socket.recv(&mut byte) {
                Ok(_) => true,
                Err(error) if gone_on(&error) => false,
                Err(source) => return Err(Error::System { doing: "receive", source }),
            };
        }
        Ok(())
    })
}

fn started(
    cpu: Option<usize>,
    work: impl FnOnce(&Worker) -> Result<(), Error> + Send + 'static,
) -> Result<Load<()>, Error> {
    let mut load = Load::new();
    load.start(cpu, work)?;
    Ok(load)
}

/// Takes the turns of `job` with `to`.
pub(super) fn ask(to: SocketAddr, job: &Job, cpu: Option<usize>) -> Result<Turns, Error> {
    let mut load = Load::new();
    let (kind, time) = (job.kind, job.duration());
    load.start(cpu, move |_| match kind {
        Kind::UdpRr => datagrams(to, time),
        Kind::TcpCrr => connections(to, time),
        Kind::TcpRr | Kind::TcpStream | Kind::UdpPps => bytes(to, time),
    })?;
    load.wait()?.pop().ok_or(Error::Panicked)
}

fn bytes(to: SocketAddr, time: Duration) -> Result<Turns, Error> {
    let mut stream = socket::connect(to)?;
    let mut byte = [0];
    repeat(time, move || {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).map(|()| true)
    })
}

fn connections(to: SocketAddr, time: Duration) -> Result<Turns, Error> {
    let mut byte = [0];
    repeat(time, move || {
        let mut stream = socket::brief(to)?;
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).map(|()| true)
    })
}

fn datagrams(to: SocketAddr, time: Duration) -> Result<Turns, Error> {
    let socket = socket::dial(to, LOST)?;
    let mut byte = [0];
    repeat(time, move || {
        socket.send(&byte)?;
        match socket.recv(&mut byte) {
            Ok(_) => Ok(true),
            Err(error) if gone_on(&error) => Ok(false),
            Err(error) => Err(error),
        }
    })
}

/// Takes turns for [`WARM_UP`], and then for `time`. A turn says whether it was answered.
fn repeat(time: Duration, mut turn: impl FnMut() -> io::Result<bool>) -> Result<Turns, Error> {
    let failed = |source| Error::System { doing: "take turns with the other end", source };
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        turn().map_err(failed)?;
    }
    let (mut times, mut lost) = (Histogram::new(), 0);
    let before = Sample::take()?;
    let begin = Instant::now();
    let mut last = begin;
    while last - begin < time {
        let answered = turn().map_err(failed)?;
        let now = Instant::now();
        if answered {
            times.add(now - last);
        } else {
            lost += 1;
        }
        last = now;
    }
    let busy = Sample::take()?.since(&before)?;
    Ok(Turns { times, seconds: (last - begin).as_secs_f64(), busy, lost })
}

/// Whether a datagram is merely missing: nothing has come in time, or nobody was there for the last one.
fn gone_on(error: &io::Error) -> bool {
    again(error) || error.kind() == io::ErrorKind::ConnectionRefused
}
