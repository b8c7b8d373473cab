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

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{Netns, eventually};

/// A stream that stands still for so long has stalled.
const STALL: Duration = Duration::from_secs(10);
/// What it carries at most, in bytes.
const MOST: u64 = 1 << 32;
/// One write, and the pause after it: so the machine's other work goes on, and the stream never catches up.
const PIECE: usize = 16_384;
const PAUSE: Duration = Duration::from_millis(1);

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

/// The byte at a place in the stream. The period is no power of two, as all sizes of buffers are.
fn byte(place: u64) -> u8 {
    (place % 251).to_le_bytes()[0]
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<u64> {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) && sent < MOST {
        let piece: Vec<u8> = (sent..).take(PIECE).map(byte).collect();
        stream.write_all(&piece)?;
        sent += PIECE as u64;
        thread::sleep(PAUSE);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut stream: TcpStream, count: &AtomicU64) -> Result<u64> {
    let mut buffer = vec![0; 65_536];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        let wrong =
            (received..).zip(&buffer[..length]).find(|(place, read)| byte(*place) != **read);
        ensure!(wrong.is_none(), "another byte at {wrong:?}");
        received += length as u64;
        count.store(received, Ordering::Relaxed);
    }
}
