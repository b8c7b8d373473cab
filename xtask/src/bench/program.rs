//! What a packet costs in the programs that encapsulate and decapsulate, by `BPF_PROG_TEST_RUN`.
//!
//! The kernel cannot repeat a program that encapsulates on one packet: it finds the outer headers on
//! it the second time, and what is timed is another way through the program. So each run is a call of
//! its own, on a fresh packet, of which the kernel tells the time; from the median of many of them
//! goes that of a program that does nothing, run the same way: the harness' own floor. Caches are
//! colder than in a loop, as they are between real packets.
//!
//! The programs are those that the daemons have attached, with their own maps. Further stations are
//! written to the forwarding database for the time.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use aya::programs::{SchedClassifier, TcAttachType, TestRun as _, TestRunOptions, loaded_programs};
use aya::{Ebpf, programs::ProgramInfo};
use nix::net::if_::if_nametoindex;
use serde::Serialize;
use serde_json::Value;
use testbed::{Lab, Netns};

use crate::measure::median;
use crate::{ebpf, shell};

/// Single runs of each program.
const RUNS: usize = 20_000;

/// How often a program that leaves the packet as it is runs in one call, and how many of these there are.
const REPEATS: u32 = 20_000;
const CALLS: usize = 50;

/// `TC_ACT_REDIRECT`: the packet went on its way.
pub(super) const REDIRECT: u32 = 7;
/// `TC_ACT_SHOT`: it was dropped.
pub(super) const SHOT: u32 = 2;

/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where `ifindex` stands.
const SK_BUFF: usize = 192;
const IFINDEX: usize = 40;

/// In nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Costs {
    pub(super) encap_ns: f64,
    pub(super) decap_ns: f64,
}

type Key = [u8; 12];
type Entry = [u8; 8];

/// Measures with `stations` in each host's forwarding database, from `near` on the lab's first host
/// to `far` on its second.
pub(super) fn measure(lab: &Lab, near: &Netns, far: &Netns, stations: u32) -> Result<Costs> {
    let floor = Floor::load()?;
    let (h1, h2) = (lab.host(1).netns(), lab.host(2).netns());
    let (source, destination) = (Link::of(near, "eth0")?, Link::of(far, "eth0")?);
    let frame = frame(source.mac, destination.mac);
    let veth = source.other_end(h1)?;

    let encap = Attached::find(h1, &veth.name)?;
    let filled = encap.fill(destination.mac, stations)?;
    let empty = floor.single(h1, &veth.name, &frame)?;
    let (wrapped_in, wrapped) = encap.single(h1, &veth.name, &frame)?;
    filled.empty()?;

    let wrapped = received(h2, wrapped)?;
    let decap = Attached::find(h2, "eth0")?;
    let filled = decap.fill(source.mac, stations)?;
    let (unwrapped_in, _) = decap.single(h2, "eth0", &wrapped)?;
    filled.empty()?;
    Ok(Costs { encap_ns: wrapped_in - empty, decap_ns: unwrapped_in - empty })
}

/// The packet as `host` receives it on its underlay: the kernel would write the next hop's address, which it is.
pub(super) fn received(host: &Netns, mut wrapped: Vec<u8>) -> Result<Vec<u8>> {
    let underlay = Link::of(host, "eth0")?;
    wrapped.get_mut(..6).context("the packet has no headers")?.copy_from_slice(&underlay.mac);
    Ok(wrapped)
}

/// A program that does nothing: what it takes is the harness' own.
pub(super) struct Floor(Ebpf);

impl Floor {
    const PROGRAM: &str = "nothing";

    pub(super) fn load() -> Result<Self> {
        let object = ebpf::build(shell::root(), &shell::target()?).map_err(anyhow::Error::msg)?;
        let object = object.with_file_name("flow-vxlan");
        let bytes =
            fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
        let mut nothing = Ebpf::load(&bytes)?;
        let program = nothing.program_mut(Self::PROGRAM).context("it has no program nothing")?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        Ok(Self(nothing))
    }

    fn program(&self) -> Result<&SchedClassifier> {
        Ok(self.0.program(Self::PROGRAM).context("it has no program nothing")?.try_into()?)
    }

    /// The median time of single runs, in nanoseconds.
    pub(super) fn single(&self, host: &Netns, device: &str, packet: &[u8]) -> Result<f64> {
        let program = self.program()?;
        Ok(host.within(|| timed(program, device, packet, None))?.0)
    }

    /// The median time of repeated runs, in nanoseconds.
    pub(super) fn repeated(&self, host: &Netns, device: &str, packet: &[u8]) -> Result<f64> {
        let program = self.program()?;
        host.within(|| repeated(program, device, packet, None))
    }
}

/// The time of a program that leaves the packet as it is, in nanoseconds: the median of calls in each of which it runs again
/// and again on the same one. It has to return `verdict`, where there is one.
fn repeated(
    program: &SchedClassifier,
    device: &str,
    packet: &[u8],
    verdict: Option<u32>,
) -> Result<f64> {
    let context = context(device)?;
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let result = program.test_run(TestRunOptions {
            data_in: Some(packet),
            ctx_in: Some(&context),
            repeat: REPEATS,
            ..TestRunOptions::default()
        })?;
        ensure_returned(device, verdict, result.return_value)?;
        #[expect(clippy::cast_precision_loss, reason = "some hundred nanoseconds")]
        times.push(result.duration.as_nanos() as f64);
    }
    Ok(median(times))
}

/// A packet that `device` received, as the program sees it.
fn context(device: &str) -> Result<[u8; SK_BUFF]> {
    let mut context = [0; SK_BUFF];
    context[IFINDEX..][..4].copy_from_slice(&if_nametoindex(device)?.to_ne_bytes());
    Ok(context)
}

fn ensure_returned(device: &str, verdict: Option<u32>, returned: u32) -> Result<()> {
    ensure!(
        verdict.is_none_or(|verdict| verdict == returned),
        "the program on {device} does with the packet what is not measured: it returns {}",
        returned.cast_signed()
    );
    Ok(())
}

/// The median time of a program on a packet that `device` received, in nanoseconds, and the packet
/// that came out. Each run has to return `verdict`, where there is one.
fn timed(
    program: &SchedClassifier,
    device: &str,
    packet: &[u8],
    verdict: Option<u32>,
) -> Result<(f64, Vec<u8>)> {
    let context = context(device)?;
    let mut out = vec![0; packet.len() + 256];
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let result = program.test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat: 1,
            ..TestRunOptions::default()
        })?;
        ensure_returned(device, verdict, result.return_value)?;
        #[expect(clippy::cast_precision_loss, reason = "some hundred nanoseconds")]
        times.push(result.duration.as_nanos() as f64);
        out.resize(packet.len() + 256, 0);
        if times.len() == RUNS {
            out.truncate(usize::try_from(result.data_size_out)?);
        }
    }
    Ok((median(times), out))
}

/// A program that a daemon has attached.
pub(super) struct Attached {
    program: SchedClassifier,
    maps: Vec<u32>,
}

impl Attached {
    /// The first on a device's ingress.
    pub(super) fn find(host: &Netns, device: &str) -> Result<Self> {
        host.within(|| {
            let (_, found) = SchedClassifier::query_tcx(device, TcAttachType::Ingress)?;
            let first = found.first().map(ProgramInfo::id);
            let first = first.with_context(|| format!("no program is attached to {device}"))?;
            let same =
                |info: &Result<ProgramInfo, _>| matches!(info, Ok(info) if info.id() == first);
            let info = loaded_programs().find(same).context("the program is gone")??;
            let maps = info.map_ids()?.unwrap_or_default();
            let program = SchedClassifier::from_program_info(info, "attached".into())?;
            Ok(Self { program, maps })
        })
    }

    /// Its map of this name.
    pub(super) fn map(&self, name: &str) -> Result<Map> {
        for id in &self.maps {
            let map = MapData::from_id(*id)?;
            if map.info()?.name_as_str() == Some(name) {
                return Ok(Map::from_map_data(map)?);
            }
        }
        anyhow::bail!("the program has no map {name}")
    }

    /// How often it ran and how long in all, as far as the kernel has counted.
    pub(super) fn run_time(&self) -> Result<(u64, Duration)> {
        let info = self.program.info()?;
        Ok((info.run_count(), info.run_time()))
    }

    /// The median time of single runs, in nanoseconds, and the packet that came out.
    pub(super) fn single(
        &self,
        host: &Netns,
        device: &str,
        packet: &[u8],
    ) -> Result<(f64, Vec<u8>)> {
        host.within(|| timed(&self.program, device, packet, Some(REDIRECT)))
    }

    /// The median time of repeated runs, which have to return `verdict`, in nanoseconds.
    pub(super) fn repeated(
        &self,
        host: &Netns,
        device: &str,
        packet: &[u8],
        verdict: u32,
    ) -> Result<f64> {
        host.within(|| repeated(&self.program, device, packet, Some(verdict)))
    }

    /// Fills the forwarding database up to `stations`, all of them where the station `mac` is.
    fn fill(&self, mac: [u8; 6], stations: u32) -> Result<Filled> {
        let mut map: HashMap<MapData, Key, Entry> = self.map("FDB")?.try_into()?;
        let known = map.keys().collect::<Result<Vec<Key>, _>>()?;
        // VNI, MAC, padding.
        let like = known.iter().find(|key| key.get(4..10) == Some(&mac));
        let like = *like.context("the daemon does not know the other container")?;
        let entry = map.get(&like, 0)?;
        let missing = stations.saturating_sub(u32::try_from(known.len())?);
        let keys: Vec<Key> = (0..missing).map(|number| numbered(like, number)).collect();
        for key in &keys {
            map.insert(key, entry, 0)?;
        }
        Ok(Filled { map, keys })
    }
}

/// Another station of the same network.
fn numbered(mut key: Key, number: u32) -> Key {
    let [a, b, c, d] = number.to_be_bytes();
    key[4..10].copy_from_slice(&[0x06, 0xbe, a, b, c, d]);
    key
}

/// Entries that are nobody's.
struct Filled {
    map: HashMap<MapData, Key, Entry>,
    keys: Vec<Key>,
}

impl Filled {
    fn empty(mut self) -> Result<()> {
        for key in &self.keys {
            // The daemon may have found it out of place already.
            if self.map.get(key, 0).is_ok() {
                self.map.remove(key)?;
            }
        }
        Ok(())
    }
}

/// A network device, as `ip` shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) mac: [u8; 6],
    /// Index of its other end.
    peer: Option<u64>,
}

impl Link {
    pub(super) fn of(netns: &Netns, name: &str) -> Result<Self> {
        let text = netns.run(["ip", "-j", "link", "show", "dev", name])?.ok()?;
        Self::parse(&text, |_| true).with_context(|| format!("{name} in {}", netns.name()))
    }

    /// The other end of a veth pair, which is in `netns`.
    pub(super) fn other_end(&self, netns: &Netns) -> Result<Self> {
        let index = self.peer.context("the container has no veth")?;
        let text = netns.run(["ip", "-j", "link", "show"])?.ok()?;
        let same = |link: &Value| link.get("ifindex").and_then(Value::as_u64) == Some(index);
        Self::parse(&text, same).with_context(|| format!("device {index} in {}", netns.name()))
    }

    fn parse(text: &str, wanted: impl Fn(&Value) -> bool) -> Result<Self> {
        let links: Vec<Value> = serde_json::from_str(text)?;
        let link = links.iter().find(|link| wanted(link)).context("it is not there")?;
        let word = |key: &str| link.get(key).and_then(Value::as_str);
        let name = word("ifname").context("it has no name")?.to_owned();
        let mac = word("address").and_then(mac).context("it has no MAC")?;
        Ok(Self { name, mac, peer: link.get("link_index").and_then(Value::as_u64) })
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// A frame of 60 bytes: UDP from 10.1.0.11 to 10.1.0.12, the containers of the rig.
pub(super) fn frame(source: [u8; 6], destination: [u8; 6]) -> Vec<u8> {
    let mut bytes = [destination, source].concat();
    bytes.extend([0x08, 0x00]);
    // The checksum is that of exactly these 20 bytes.
    bytes.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0x26, 0xa7, 10, 1, 0, 11, 10, 1, 0, 12]);
    bytes.extend([0x30, 0x39, 0x30, 0x39, 0, 26, 0, 0]);
    bytes.extend([0; 18]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_as_short_as_frames_are_and_its_header_adds_up() {
        let frame = frame([2; 6], [4; 6]);
        assert_eq!(frame.len(), 60);
        let sum: u32 =
            frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn links_are_read_from_what_ip_says() {
        let text = r#"[{"ifindex":1,"ifname":"lo","address":"00:00:00:00:00:00"},
            {"ifindex":2,"link_index":5,"ifname":"eth0","address":"02:42:0a:01:00:0b"}]"#;
        let second = |link: &Value| link["ifindex"] == 2;
        let found = Link::parse(text, second).expect("a link");
        let mac = [2, 0x42, 10, 1, 0, 11];
        assert_eq!(found, Link { name: "eth0".to_owned(), mac, peer: Some(5) });
        assert!(Link::parse("[]", |_| true).is_err());
    }

    #[test]
    fn stations_differ_in_their_mac_alone() {
        let like = [1, 0x10, 0, 0, 2, 0, 0, 0, 0, 7, 0, 0];
        let key = numbered(like, 0x0102_0304);
        assert_eq!(key, [1, 0x10, 0, 0, 6, 0xbe, 1, 2, 3, 4, 0, 0]);
    }
}
