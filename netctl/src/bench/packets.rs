//! Datagrams at full speed.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Instant,
};

use super::{
    Error, Job, LOOK, PATIENCE,
    batch::Batch,
    load::{Load, Worker, again},
    socket,
};

/// Datagrams for each system call.
const BATCH: usize = 64;

/// With the headers of UDP, IPv4 and Ethernet, and the frame's check sequence, 64 bytes: the shortest frame.
const PAYLOAD: usize = 18;

/// Starts the worker that takes what comes from `peer`; its port is in the socket that is given.
pub(super) fn receive(socket: UdpSocket, peer: IpAddr, job: &Job) -> Result<Load<()>, Error> {
    let mut load = Load::new();
    load.start(job.cpu, move |worker| take(&socket, peer, worker))?;
    Ok(load)
}

/// Waits for the first datagram from `peer`, and takes only that sender's from then on.
pub(super) fn meet(socket: &UdpSocket, peer: IpAddr, worker: &Worker) -> Result<bool, Error> {
    let end = Instant::now() + PATIENCE;
    while !worker.stopped() && Instant::now() < end {
        match socket.recv_from(&mut [0; PAYLOAD]) {
            Ok((_, from)) if from.ip() == peer => {
                socket.connect(from).map_err(Error::system("connect a socket"))?;
                return Ok(true);
            }
            Ok(_) => {}
            Err(error) if again(&error) => {}
            Err(error) => return Err(Error::System { doing: "receive a packet", source: error }),
        }
    }
    Ok(false)
}

fn take(socket: &UdpSocket, peer: IpAddr, worker: &Worker) -> Result<(), Error> {
    if !meet(socket, peer, worker)? {
        return Ok(());
    }
    let mut batch = Batch::new(BATCH, PAYLOAD);
    let mut all = 1;
    while !worker.stopped() {
        match batch.receive(socket) {
            Ok(count) => {
                all += count;
                worker.counted(all);
            }
            Err(error) if again(&error) => {}
            Err(error) => return Err(Error::System { doing: "receive packets", source: error }),
        }
    }
    Ok(())
}

/// Starts the worker that sends to `to`, for little longer than `job` takes at most; it gives how many it sent.
pub(super) fn send(to: SocketAddr, job: &Job, cpu: Option<usize>) -> Result<Load<u64>, Error> {
    let socket = socket::dial(to, LOOK)?;
    let mut load = Load::new();
    let longest = job.duration() + super::WARM_UP + PATIENCE;
    load.start(cpu, move |worker| {
        let mut batch = Batch::new(BATCH, PAYLOAD);
        let (mut sent, end) = (0, Instant::now() + longest);
        while !worker.stopped() && Instant::now() < end {
            match batch.send(&socket) {
                Ok(count) => sent += count,
                // The answer of a host whose receiver is not there yet, or not any more.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(Error::System { doing: "send packets", source: error }),
            }
        }
        Ok(sent)
    })?;
    Ok(load)
}
