//! One capture: from the rings of several interfaces into one file, in the order in which packets were seen.

use std::{
    io::Write,
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Error, Interface, Writer};
use crate::kernel::{
    Netns, PacketFilter, PacketRing, RING_DELAY, RingCounts, RingPacket, RingSize,
};

/// Memory for all rings together, and the least and the most for a block of one, in bytes.
const MEMORY: u32 = 64 << 20;
const BLOCK: (u32, u32) = (1 << 16, 1 << 19);
/// The least and the most blocks of a ring.
const BLOCKS: (u32, u32) = (4, 32);
/// What a block has besides a packet, and more, in bytes.
const HEADERS: u32 = 4096;
/// For how long packets wait for those of other interfaces that were seen before them: as long as these may wait in their
/// rings, and as much again.
const HOLD: Duration = RING_DELAY.saturating_mul(2);
/// How long to wait for packets before looking whether to end.
const LOOK: u16 = 50;

/// Where packets are captured.
#[derive(Clone, Debug)]
pub struct Point {
    /// The namespace of the interface.
    pub netns: Netns,
    /// Its name there.
    pub device: String,
    /// What the capture says of it.
    pub interface: Interface,
}

/// When a capture ends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After so many packets.
    pub count: Option<u64>,
    /// After so long.
    pub duration: Option<Duration>,
}

/// What came of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Packets that were written.
    pub packets: u64,
    /// Packets that the filter took and the rings had no room for.
    pub lost: u64,
}

/// A packet that waits.
struct Held {
    interface: u32,
    at: Duration,
    length: u32,
    bytes: Vec<u8>,
    tag: Option<(u16, u16)>,
    sent: bool,
}

/// An interface that is listened to.
struct Source {
    interface: Interface,
    ring: PacketRing,
    gone: bool,
}

/// Interfaces that are listened to.
pub struct Session {
    sources: Vec<Source>,
    held: Vec<Held>,
}

impl Session {
    /// Begins to take packets at all these points.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub async fn open(points: Vec<Point>, filter: &PacketFilter) -> Result<Self, Error> {
        let mut sources = Vec::new();
        let count = u32::try_from(points.len()).unwrap_or(u32::MAX);
        for Point { netns, device, interface } in points {
            let size = size(count, interface.snaplen);
            let ring = PacketRing::open(&netns, &device, filter.clone(), size).await;
            let ring = ring.map_err(|source| {
                let interface = interface.name.clone();
                Error::Interface { interface, source }
            })?;
            sources.push(Source { interface, ring, gone: false });
        }
        Ok(Self { sources, held: Vec::new() })
    }

    /// What is listened to.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.sources.iter().map(|source| &source.interface)
    }

    /// Writes packets until a limit is reached, `stop` is set, or all interfaces are gone, of each of which `say` is told.
    /// It blocks.
    ///
    /// # Errors
    /// Where the capture cannot be written; [`Error::Kernel`].
    pub fn run<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        limits: Limits,
        stop: &AtomicBool,
        say: impl Fn(&str),
    ) -> Result<Captured, Error> {
        let begun = Instant::now();
        let mut captured = Captured::default();
        let over = || {
            stop.load(Ordering::Relaxed)
                || limits.duration.is_some_and(|duration| begun.elapsed() >= duration)
        };
        loop {
            let last = over() || self.sources.iter().all(|source| source.gone);
            if last {
                // What was seen until now is in the rings still.
                let (end, before) = (now(), self.held.len());
                sleep(RING_DELAY.saturating_mul(2));
                self.take();
                let late = self.held.split_off(before);
                self.held.extend(late.into_iter().filter(|packet| packet.at <= end));
            } else {
                self.wait(Duration::from_millis(LOOK.into()));
                self.take();
            }
            // Packets from times to come are from before the clock was set back: nothing can be said of their order.
            let now = now();
            let was_set = self.held.iter().any(|packet| packet.at > now);
            let until = if last || was_set { Duration::MAX } else { now.saturating_sub(HOLD) };
            let full = self.write(writer, until, limits.count, &mut captured)?;
            self.look_for_gone(&say);
            if last || full {
                break;
            }
        }
        for (number, source) in (0..).zip(&mut self.sources) {
            let RingCounts { taken, lost } = source.ring.counts()?;
            captured.lost += lost;
            writer.statistics(number, RingCounts { taken, lost }).map_err(Error::Output)?;
        }
        writer.flush().map_err(Error::Output)?;
        Ok(captured)
    }

    /// Whether all interfaces are gone.
    pub fn is_bereft(&self) -> bool {
        self.sources.iter().all(|source| source.gone)
    }

    /// Waits for packets.
    fn wait(&self, time: Duration) {
        let mut sockets: Vec<PollFd<'_>> = self
            .sources
            .iter()
            .filter(|source| !source.gone)
            .map(|source| PollFd::new(source.ring.as_fd(), PollFlags::POLLIN))
            .collect();
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        // A signal is as good a reason to look as any.
        match poll(&mut sockets, time) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => tracing::warn!(%errno, "cannot wait for packets"),
        }
    }

    fn take(&mut self) {
        let held = &mut self.held;
        for (interface, source) in (0..).zip(&mut self.sources) {
            source.ring.read(|RingPacket { at, length, bytes, tag, sent }| {
                held.push(Held { interface, at, length, bytes: bytes.to_vec(), tag, sent });
            });
        }
    }

    /// Writes what was seen `until` then; `true` where that is as much as was wanted.
    fn write<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        until: Duration,
        count: Option<u64>,
        captured: &mut Captured,
    ) -> Result<bool, Error> {
        self.held.sort_by_key(|packet| packet.at);
        let ready = self.held.partition_point(|packet| packet.at <= until);
        if ready == 0 {
            return Ok(false);
        }
        for packet in self.held.drain(..ready) {
            let Held { interface, at, length, bytes, tag, sent } = packet;
            let packet = RingPacket { at, length, bytes: &bytes, tag, sent };
            writer.packet(interface, &packet).map_err(Error::Output)?;
            captured.packets += 1;
            if count.is_some_and(|count| captured.packets >= count) {
                return Ok(true);
            }
        }
        writer.flush().map_err(Error::Output)?;
        Ok(false)
    }

    fn look_for_gone(&mut self, say: &impl Fn(&str)) {
        for source in &mut self.sources {
            if !source.gone && source.ring.is_gone() {
                source.gone = true;
                say(&format!("the interface of {} is gone", source.interface.name));
            }
        }
    }
}

/// How large the ring of one of so many interfaces is. Where there are many, each has little, and packets are cut.
fn size(interfaces: u32, snaplen: u32) -> RingSize {
    let each = MEMORY / interfaces.max(1);
    let wanted = snaplen.saturating_add(HEADERS).checked_next_power_of_two().unwrap_or(BLOCK.1);
    let (least, most) = BLOCK;
    let block = wanted.clamp(least, most).min((each / BLOCKS.0).max(least));
    // Rounded down to a power of two.
    let block = 1 << block.ilog2();
    RingSize { block, blocks: (each / block).clamp(BLOCKS.0, BLOCKS.1) }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_take_no_more_than_their_share() {
        for (interfaces, snaplen, block, blocks) in [
            (1, 262_144, 1 << 19, 32),
            (1, 96, 1 << 16, 32),
            (10, 262_144, 1 << 19, 12),
            (100, 262_144, 1 << 17, 5),
            (1000, 262_144, 1 << 16, 4),
            (1, u32::MAX, 1 << 19, 32),
        ] {
            assert_eq!(size(interfaces, snaplen), RingSize { block, blocks }, "{interfaces}");
        }
    }
}
