//! TCP streams at full speed.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Instant,
};

use super::{
    Error, Job, PATIENCE,
    load::{Load, Worker, again},
    socket::{self, Connection},
};

/// What is written or read at once, in bytes: what others of the kind do.
const PIECE: usize = 128 << 10;

/// Takes the connections of `job` from `peer`, and gives the workers that read them.
pub(super) fn receive(listener: &TcpListener, peer: IpAddr, job: &Job) -> Result<Load<()>, Error> {
    let mut load = Load::new();
    let end = Instant::now() + PATIENCE;
    for _ in 0..job.streams {
        let stream = accept(listener, peer, end)?;
        load.start(job.cpu, move |worker| read(stream, worker))?;
    }
    Ok(load)
}

/// The next connection from `peer`; others are closed.
pub(super) fn accept(
    listener: &TcpListener,
    peer: IpAddr,
    end: Instant,
) -> Result<TcpStream, Error> {
    while Instant::now() < end {
        match listener.accept() {
            Ok((stream, from)) if from.ip() == peer => return Ok(stream),
            Ok(_) => {}
            Err(error) if again(&error) => {}
            Err(error) => {
                return Err(Error::System { doing: "accept a connection", source: error });
            }
        }
    }
    Err(Error::Silence { what: "connection", seconds: PATIENCE.as_secs() })
}

fn read(mut stream: TcpStream, worker: &Worker) -> Result<(), Error> {
    let mut piece = vec![0; PIECE];
    let mut all = 0;
    while !worker.stopped() {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                all += length as u64;
                worker.counted(all);
            }
            Err(error) if again(&error) => {}
            Err(error) => return Err(Error::System { doing: "read a stream", source: error }),
        }
    }
    Ok(())
}

/// Opens the connections of `job`, and gives the workers that write to them.
pub(super) fn send(
    to: SocketAddr,
    job: &Job,
    cpu: Option<usize>,
) -> Result<Load<Connection>, Error> {
    let mut load = Load::new();
    for _ in 0..job.streams {
        let stream = socket::connect(to)?;
        load.start(cpu, move |worker| write(stream, worker))?;
    }
    Ok(load)
}

fn write(mut stream: TcpStream, worker: &Worker) -> Result<Connection, Error> {
    let piece = vec![0; PIECE];
    while !worker.stopped() {
        stream.write_all(&piece).map_err(Error::system("write to a stream"))?;
    }
    Connection::of(&stream).map_err(Error::system("ask for the state of a connection"))
}
