//! A TCP stream that goes on while other things happen.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use testbed::{Netns, eventually};

/// A stream that stands still for so long has stalled.
const STALL: Duration = Duration::from_secs(10);
/// What it carries at most, in bytes.
const MOST: u64 = 1 << 32;
/// One write, and the pause after it: so the machine's other work goes on, and the stream never catches up.
const PIECE: usize = 16_384;
const PAUSE: Duration = Duration::from_millis(1);
/// After so many bytes the stream repeats itself: no power of two, as all sizes of buffers are.
const PERIOD: u8 = 251;
/// How much is read at once.
const MOST_AT_ONCE: usize = 65_536;

/// Bytes on their way from one namespace to another. They say where they belong, so none can be lost, doubled or
/// taken for another.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<u64>>,
}

impl Stream {
    /// Begins to send, to this address of the receiver.
    pub(crate) fn start(from: &Netns, to: &Netns, address: IpAddr) -> Result<Self> {
        let listener = to.within(|| Ok(TcpListener::bind((address, 0))?))?;
        let target = listener.local_addr()?;
        let sending = from.within(|| Ok(TcpStream::connect_timeout(&target, STALL)?));
        let sending = sending.with_context(|| format!("connecting to {target}"))?;
        let (receiving, _) = listener.accept()?;
        sending.set_write_timeout(Some(STALL))?;
        receiving.set_read_timeout(Some(STALL))?;
        let stop = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&received));
        Ok(Self {
            stop,
            received,
            sender: thread::spawn(move || send(sending, &stopped)),
            receiver: thread::spawn(move || receive(receiving, &count)),
        })
    }

    /// Waits until another half a megabyte has arrived.
    pub(crate) fn goes_on(&self) -> Result<()> {
        let before = self.received.load(Ordering::Relaxed);
        eventually("the stream goes on", STALL, || {
            let more = self.received.load(Ordering::Relaxed) - before;
            ensure!(more >= 1 << 19, "{more} bytes arrived");
            Ok(())
        })
    }

    /// Ends it, and fails unless every byte that was sent has arrived.
    pub(crate) fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a thread panicked");
        let sent = self.sender.join().map_err(panicked)?.context("sending")?;
        let received = self.receiver.join().map_err(panicked)?.context("receiving")?;
        ensure!(received == sent, "{received} of {sent} bytes arrived");
        Ok(())
    }
}

/// The bytes of a stream from any of the first places in its period on, as many as are sent or received at once.
fn pattern() -> Vec<u8> {
    (0..PERIOD).cycle().take(usize::from(PERIOD) + MOST_AT_ONCE).collect()
}

/// Where in the pattern the bytes begin that belong to a place in the stream.
fn begin(place: u64) -> usize {
    usize::try_from(place % u64::from(PERIOD)).expect("below a byte")
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<u64> {
    let pattern = pattern();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) && sent < MOST {
        stream.write_all(&pattern[begin(sent)..][..PIECE])?;
        sent += PIECE as u64;
        thread::sleep(PAUSE);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut stream: TcpStream, count: &AtomicU64) -> Result<u64> {
    let pattern = pattern();
    let mut buffer = vec![0; MOST_AT_ONCE];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        let (read, expected) = (&buffer[..length], &pattern[begin(received)..][..length]);
        if read != expected {
            let wrong = read.iter().zip(expected).position(|(read, expected)| read != expected);
            bail!("another byte {wrong:?} behind {received}");
        }
        received += length as u64;
        count.store(received, Ordering::Relaxed);
    }
}
