//! The end that answers, and that counts what arrives.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    Device, Error, Job, Kind, LOOK, PATIENCE, Side, WARM_UP,
    cpu::Sample,
    job::{Answer, Control, Enough},
    load::Load,
    packets, socket, stream, turns,
};

/// Whom a server answers.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What a job has to have as its key.
    pub key: String,
    /// The addresses that may connect; all where there is none.
    pub peers: Option<BTreeSet<IpAddr>>,
    /// What to tell of this host.
    pub device: Option<Device>,
}

/// A load generator that waits to be asked.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    terms: Terms,
}

impl Server {
    /// Listens at `at`, on any free port where its port is 0, in the calling thread's namespace.
    pub fn bind(at: SocketAddr, terms: Terms) -> Result<Self, Error> {
        let failed = |source| Error::Listen { at, source };
        let listener = TcpListener::bind(at).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, terms })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does one job after another, without an end. All sockets for them are made by the calling thread or those that it
    /// starts.
    ///
    /// # Errors
    /// Where nothing can be accepted any more. What goes wrong with a job is told to who asked for it.
    pub fn serve(&self) -> Result<(), Error> {
        loop {
            let (stream, from) = match self.listener.accept() {
                Ok(accepted) => accepted,
                // Somebody went away again before he was let in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(source) => return Err(Error::System { doing: "accept a connection", source }),
            };
            if self.terms.peers.as_ref().is_none_or(|peers| peers.contains(&from.ip()))
                && let Err(error) = self.answer(stream)
            {
                tracing::debug!(%from, %error, "a job has failed");
            }
        }
    }

    fn answer(&self, stream: TcpStream) -> Result<(), Error> {
        let mut control = Control::new(stream)?;
        control.wait(PATIENCE)?;
        let job: Job = control.hear()?;
        if job.key != self.terms.key {
            return control.say(&Answer::Refused("its key is another".to_owned()));
        }
        if let Err(sentence) = job.check() {
            return control.say(&Answer::Refused(sentence));
        }
        match work(&mut control, &job) {
            Ok((side, load)) => {
                let side = Side { device: self.terms.device.clone(), ..side };
                control.say(&Answer::Done(side))?;
                until_closed(&mut control)?;
                load.end().map(drop)
            }
            Err(error) => control.say(&Answer::Refused(error.to_string())),
        }
    }
}

/// Waits until the client has heard what came of it: its load never ends within what is counted, nor for want of a
/// receiver.
fn until_closed(control: &mut Control) -> Result<(), Error> {
    match control.hear::<Enough>() {
        Ok(Enough {}) | Err(Error::Garbled(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn work(control: &mut Control, job: &Job) -> Result<(Side, Load<()>), Error> {
    let stream = control.stream();
    let addresses = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?.ip())));
    let (own, peer) = addresses.map_err(Error::system("ask for the ends of a connection"))?;
    let ready = |control: &mut Control, at: io::Result<SocketAddr>| {
        let at = at.map_err(Error::system("ask for a socket's address"))?;
        control.say(&Answer::Ready(at.port()))
    };
    match job.kind {
        Kind::TcpStream => {
            let listener = socket::listen(own)?;
            ready(control, listener.local_addr())?;
            let load = stream::receive(&listener, peer, job)?;
            Ok((count(&load, job, "stream")?, load))
        }
        Kind::UdpPps => {
            let socket = socket::bind(own, LOOK)?;
            let at = socket.local_addr();
            let load = packets::receive(socket, peer, job)?;
            ready(control, at)?;
            Ok((count(&load, job, "packet")?, load))
        }
        Kind::TcpRr | Kind::TcpCrr | Kind::UdpRr => {
            let (load, at) = match job.kind {
                Kind::UdpRr => {
                    let socket = socket::bind(own, LOOK)?;
                    let at = socket.local_addr();
                    (turns::answer_datagrams(socket, peer, job.cpu)?, at)
                }
                Kind::TcpCrr => {
                    let listener = socket::listen(own)?;
                    let at = listener.local_addr();
                    (turns::answer_each(listener, peer, job.cpu)?, at)
                }
                Kind::TcpRr | Kind::TcpStream | Kind::UdpPps => {
                    let listener = socket::listen(own)?;
                    let at = listener.local_addr();
                    (turns::answer(listener, peer, job.cpu)?, at)
                }
            };
            ready(control, at)?;
            Ok((attend(control, job)?, load))
        }
    }
}

/// Counts what arrives while `job` lasts.
fn count(load: &Load<()>, job: &Job, what: &'static str) -> Result<Side, Error> {
    let end = Instant::now() + PATIENCE;
    while load.count() == 0 {
        if Instant::now() > end {
            return Err(Error::Silence { what, seconds: PATIENCE.as_secs() });
        }
        sleep(Duration::from_millis(2));
    }
    sleep(WARM_UP);
    let (before, first) = (Sample::take()?, load.count());
    sleep(job.duration());
    let (after, last) = (Sample::take()?, load.count());
    let seconds = (after.taken - before.taken).as_secs_f64();
    Ok(Side { arrived: last - first, seconds, busy: after.since(&before)?, device: None })
}

/// Waits until the client has counted.
fn attend(control: &mut Control, job: &Job) -> Result<Side, Error> {
    control.wait(job.duration() + WARM_UP + PATIENCE)?;
    let before = Sample::take()?;
    let Enough {} = control.hear()?;
    let after = Sample::take()?;
    control.wait(PATIENCE)?;
    let seconds = (after.taken - before.taken).as_secs_f64();
    Ok(Side { arrived: 0, seconds, busy: after.since(&before)?, device: None })
}
