//! Writing pcapng (draft-ietf-opsawg-pcapng): the few of its blocks that a capture has.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use crate::kernel::{RingCounts, RingPacket};

/// Types of blocks.
mod block {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const NAMES: u32 = 4;
    pub(super) const STATISTICS: u32 = 5;
    pub(super) const PACKET: u32 = 6;
}

/// Codes of options. They mean something else in each type of block.
mod option {
    pub(super) const COMMENT: u16 = 1;
    pub(super) const SECTION_SYSTEM: u16 = 3;
    pub(super) const SECTION_APPLICATION: u16 = 4;
    pub(super) const INTERFACE_NAME: u16 = 2;
    pub(super) const INTERFACE_DESCRIPTION: u16 = 3;
    pub(super) const INTERFACE_RESOLUTION: u16 = 9;
    pub(super) const INTERFACE_FILTER: u16 = 11;
    pub(super) const PACKET_FLAGS: u16 = 2;
    pub(super) const STATISTICS_TAKEN: u16 = 6;
    pub(super) const STATISTICS_LOST: u16 = 7;
}

/// By this a reader sees the order of bytes in a word.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The link type of Ethernet.
const ETHERNET: u16 = 1;
/// Times are in nanoseconds: ten to the power of minus nine of a second.
const NANOSECONDS: u8 = 9;
/// What stands first in the option of a filter that is an expression.
const EXPRESSION: u8 = 0;
/// Records of names: addresses with their names, and the end of them.
const NAME4: u16 = 1;
const NAME6: u16 = 2;
/// The flags of a packet that say its direction.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// What is said of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// What it is called: the service behind it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The expression that packets were chosen by, or nothing.
    pub filter: String,
    /// How many bytes are kept of each packet.
    pub snaplen: u32,
}

/// Writes a capture. Interfaces are numbered in the order in which they are written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins a capture.
    pub fn begin(out: W, system: &str, comment: &str) -> io::Result<Self> {
        let mut writer = Self { out };
        let mut body = Body::default();
        body.word(BYTE_ORDER).half(1).half(0);
        // How long the section will be is not known.
        body.bytes(&u64::MAX.to_le_bytes());
        body.option(option::COMMENT, comment.as_bytes());
        body.option(option::SECTION_SYSTEM, system.as_bytes());
        let application = concat!("netctl ", env!("CARGO_PKG_VERSION"));
        body.option(option::SECTION_APPLICATION, application.as_bytes()).end_of_options();
        writer.block(block::SECTION, &body)?;
        Ok(writer)
    }

    /// Tells of an interface.
    pub fn interface(&mut self, interface: &Interface) -> io::Result<()> {
        let Interface { name, description, filter, snaplen } = interface;
        let mut body = Body::default();
        body.half(ETHERNET).half(0).word(*snaplen);
        body.option(option::INTERFACE_NAME, name.as_bytes());
        body.option(option::INTERFACE_DESCRIPTION, description.as_bytes());
        body.option(option::INTERFACE_RESOLUTION, &[NANOSECONDS]);
        if !filter.is_empty() {
            let expression = [&[EXPRESSION], filter.as_bytes()].concat();
            body.option(option::INTERFACE_FILTER, &expression);
        }
        body.end_of_options();
        self.block(block::INTERFACE, &body)
    }

    /// Tells who has which address.
    pub fn names(&mut self, names: &BTreeMap<IpAddr, String>) -> io::Result<()> {
        let mut body = Body::default();
        for (address, name) in names {
            let (kind, address) = match address {
                IpAddr::V4(address) => (NAME4, address.octets().to_vec()),
                IpAddr::V6(address) => (NAME6, address.octets().to_vec()),
            };
            body.option(kind, &[&address, name.as_bytes(), &[0]].concat());
        }
        body.end_of_options();
        self.block(block::NAMES, &body)
    }

    /// Writes a packet of an interface, with its VLAN tag where it was on the wire.
    pub fn packet(&mut self, interface: u32, packet: &RingPacket<'_>) -> io::Result<()> {
        let RingPacket { at, length, bytes, tag, sent } = packet;
        let tagged = tag.map(|(kind, tag)| {
            let (stations, rest) = bytes.split_at(bytes.len().min(12));
            [stations, &kind.to_be_bytes(), &tag.to_be_bytes(), rest].concat()
        });
        let shown = tagged.as_deref().unwrap_or(bytes);
        let length = length + if tag.is_some() { 4 } else { 0 };
        let mut body = Body::default();
        body.word(interface).time(*at).count(shown.len()).word(length).padded(shown);
        let direction = if *sent { OUTBOUND } else { INBOUND };
        body.option(option::PACKET_FLAGS, &direction.to_le_bytes()).end_of_options();
        self.block(block::PACKET, &body)
    }

    /// Tells how much of what an interface carried is there.
    pub fn statistics(&mut self, interface: u32, counts: RingCounts) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut body = Body::default();
        body.word(interface).time(now);
        body.option(option::STATISTICS_TAKEN, &counts.taken.to_le_bytes());
        body.option(option::STATISTICS_LOST, &counts.lost.to_le_bytes()).end_of_options();
        self.block(block::STATISTICS, &body)
    }

    /// Has all that was written reach its reader.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn block(&mut self, kind: u32, Body(body): &Body) -> io::Result<()> {
        let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(&length)
    }
}

/// What is in a block.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn half(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn count(&mut self, value: usize) -> &mut Self {
        self.word(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// A time, its upper half first.
    fn time(&mut self, since: Duration) -> &mut Self {
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let half = |half: u64| u32::try_from(half & 0xffff_ffff).unwrap_or(u32::MAX);
        self.word(half(nanoseconds >> 32)).word(half(nanoseconds))
    }

    /// Bytes, and zeroes up to the next word.
    fn padded(&mut self, bytes: &[u8]) -> &mut Self {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.bytes(bytes).bytes(&[0; 3][..padding])
    }

    /// An option, or a record of names, which has the same form. What is too long for one is cut.
    fn option(&mut self, code: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.half(code).half(length).padded(&value[..length.into()])
    }

    fn end_of_options(&mut self) {
        self.half(0).half(0);
    }
}
