//! What goes on all the while from one container to another: packets at a steady rate, each with its answer, and a stream.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{Netns, eventually};

/// Between two packets, and between two pieces of a stream.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a packet and its answer may take.
const LATE: Duration = Duration::from_secs(2);
/// How long a stream may take to go on after a fault: TCP waits ever longer while nothing comes.
const SOON: Duration = Duration::from_mins(1);
const ECHO: u16 = 7;
const STREAM: u16 = 9;
const PIECE: usize = 1024;

/// All of it, in one direction.
pub(super) struct Flow {
    pub(super) from: usize,
    pub(super) to: usize,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    sent: AtomicU64,
    answered: AtomicU64,
    /// What was sent and is not answered, by number.
    open: Mutex<BTreeMap<u64, Instant>>,
    /// Bytes that came by the stream, all as they should be.
    streamed: AtomicU64,
}

/// What became of the packets.
pub(super) struct Ended {
    pub(super) sent: u64,
    /// When those were sent that were not answered.
    pub(super) lost: Vec<Instant>,
}

impl Flow {
    pub(super) fn start(
        (from, near): (usize, &Netns),
        (to, far): (usize, &Netns),
        address: Ipv4Addr,
    ) -> Result<Self> {
        let any = Ipv4Addr::UNSPECIFIED;
        let echo = far.within(|| Ok(UdpSocket::bind((any, ECHO))?))?;
        let listener = far.within(|| Ok(TcpListener::bind((any, STREAM))?))?;
        let asking = near.within(|| Ok(UdpSocket::bind((any, 0))?))?;
        asking.connect((address, ECHO))?;
        let stream = near.within(|| Ok(TcpStream::connect((address, STREAM))?));
        let stream = stream.context("no stream to begin with")?;
        for socket in [&echo, &asking] {
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        }
        let shared = Arc::new(Shared::default());
        let answers = asking.try_clone()?;
        let threads = vec![
            with(&shared, move |shared| answer(&echo, shared)),
            with(&shared, move |shared| send(&asking, shared)),
            with(&shared, move |shared| receive(&answers, shared)),
            with(&shared, move |shared| read(&listener, shared)),
            with(&shared, move |shared| write(stream, shared)),
        ];
        Ok(Self { from, to, shared, threads })
    }

    /// Waits until more packets are answered, and more of the stream has come.
    pub(super) fn goes_on(&mut self) -> Result<()> {
        let Shared { answered, streamed, .. } = &*self.shared;
        let before = [answered, streamed].map(|count| count.load(Ordering::Relaxed));
        let what =
            format!("packets and the stream from h{} to h{} go on", self.from + 1, self.to + 1);
        eventually(&what, SOON, || {
            let now = [answered, streamed].map(|count| count.load(Ordering::Relaxed));
            ensure!(now[0] >= before[0] + 20, "no packet is answered");
            ensure!(now[1] > before[1], "the stream stands still");
            Ok(())
        })
    }

    pub(super) fn end(self) -> Result<Ended> {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_panic| anyhow!("a thread panicked"))??;
        }
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = open.values().copied().collect();
        Ok(Ended { sent: self.shared.sent.load(Ordering::Relaxed), lost })
    }
}

fn with(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<()> + Send + 'static,
) -> JoinHandle<Result<()>> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }
}

/// Nothing came in time, or the other end is not there at this moment.
fn passing(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut, WouldBlock};
    matches!(kind, WouldBlock | TimedOut | HostUnreachable | NetworkUnreachable | ConnectionRefused)
}

/// Sends back what comes.
fn answer(socket: &UdpSocket, shared: &Shared) -> Result<()> {
    let (mut buffer, mut ended) = ([0; 64], None::<Instant>);
    // What is on its way at the end is answered still.
    while ended.is_none_or(|ended| ended.elapsed() < LATE) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => drop(socket.send_to(&buffer[..length], from)),
            Err(error) if passing(error.kind()) => {}
            Err(error) => return Err(error).context("who answers cannot go on"),
        }
        if !shared.goes_on() {
            ended.get_or_insert_with(Instant::now);
        }
    }
    Ok(())
}

fn send(socket: &UdpSocket, shared: &Shared) -> Result<()> {
    let began = Instant::now();
    for number in 0_u64.. {
        if !shared.goes_on() {
            break;
        }
        let at = Instant::now();
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, at);
        // One that could not be sent is as lost as one that was not answered.
        drop(socket.send(&number.to_be_bytes()));
        shared.sent.fetch_add(1, Ordering::Relaxed);
        let next = PAUSE * u32::try_from(number + 1)?;
        sleep(next.saturating_sub(began.elapsed()));
    }
    Ok(())
}

fn receive(socket: &UdpSocket, shared: &Shared) -> Result<()> {
    let (mut buffer, mut ended) = ([0; 8], None::<Instant>);
    while ended.is_none_or(|ended| ended.elapsed() < LATE) {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                ensure!(length == buffer.len(), "an answer of {length} bytes");
                let number = u64::from_be_bytes(buffer);
                shared.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if passing(error.kind()) => {}
            Err(error) => return Err(error).context("who asks cannot go on"),
        }
        if !shared.goes_on() {
            ended.get_or_insert_with(Instant::now);
        }
    }
    Ok(())
}

/// A byte of the stream, by its place.
fn byte(place: u64) -> u8 {
    (place % 251).to_le_bytes()[0]
}

fn write(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut place = 0;
    while shared.goes_on() {
        let piece: Vec<u8> = (0..PIECE as u64).map(|more| byte(place + more)).collect();
        stream.write_all(&piece).context("the stream broke where it is written")?;
        place += piece.len() as u64;
        sleep(PAUSE);
    }
    Ok(())
}

fn read(listener: &TcpListener, shared: &Shared) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    let (mut buffer, mut place) = ([0; 4096], 0);
    loop {
        let length = stream.read(&mut buffer).context("the stream broke where it is read")?;
        if length == 0 {
            ensure!(!shared.goes_on(), "the stream ended by itself");
            return Ok(());
        }
        for got in &buffer[..length] {
            ensure!(*got == byte(place), "byte {place} of the stream is another");
            place += 1;
        }
        shared.streamed.store(place, Ordering::Relaxed);
    }
}
