//! One host: its namespace, its devices, its pins, and what its data plane should hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use aya::{
    maps::MapInfo,
    programs::{
        SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
    },
};
use netctl::{
    dataplane::{
        Config, Dataplane, Desired, FdbRow, FdbTarget, NeighRow, NetworkEntry, Port, PortEntry,
    },
    model::{EndpointId, MacAddr, Vni},
};
use testbed::{DEADLINE, Netns, Output, Run, output};

/// Set for the process that plays the daemon which is killed, or which is not root: what it shall do.
pub(crate) const ROLE: &str = "DATAPLANE_TEST_ROLE";

/// A host: its namespace and its directory of pins, on a bpf file system that the data plane mounts.
pub(crate) struct Host {
    pub(crate) netns: Netns,
    pub(crate) bpf: PathBuf,
    pub(crate) run: Run,
}

impl Host {
    pub(crate) fn new() -> Self {
        let run = Run::new().expect("a directory for the run");
        let netns = Netns::new(run.dir(), "host").expect("a namespace");
        netns
            .ip([
                "link add underlay type veth peer name peer",
                "addr add 192.0.2.1/24 dev underlay",
                "link set underlay up",
                "link add vx type vxlan external dstport 4789",
                "link set vx up",
                "link add port0 type veth peer name inside0",
                "link add port1 type veth peer name inside1",
            ])
            .expect("devices");
        let bpf = run.dir().join("bpf");
        Self { netns, bpf, run }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            bpf_dir: self.bpf.clone(),
            underlay: "underlay".to_owned(),
            vteps: address(1).into(),
            vxlan_port: 4789,
            vxlan_device: "vx".to_owned(),
            filter: false,
        }
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.bpf.join(format!("v{}", netctl_common::ABI_VERSION))
    }

    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.pins().join("links").join(name)
    }

    pub(crate) fn index(&self, ifname: &str) -> u32 {
        let said = self.netns.run(["ip", "-oneline", "link", "show", ifname]);
        let said = said.and_then(Output::ok).expect("the device");
        let (index, _rest) = said.split_once(": ").expect("an index and a name");
        index.parse().expect("a number")
    }

    /// Runs `work` in the namespace, as the daemon of this host would.
    pub(crate) fn within<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> T {
        let result = self.netns.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work())
        });
        result.expect("the work in the host's namespace")
    }

    pub(crate) fn desired(&self) -> Desired {
        let (port0, port1) = (self.index("port0"), self.index("port1"));
        let network = NetworkEntry { gateway_mac: Some(mac(0xfe)), mtu: 1450, open: false };
        let port = |ifname: &str, last| Port { ifname: ifname.to_owned(), entry: entry(last) };
        Desired {
            networks: [(vni(), network)].into(),
            ports: [(port0, port("port0", 2)), (port1, port("port1", 3))].into(),
            fdb: [
                ((vni(), mac(2)), FdbTarget::Container { ifindex: port0 }),
                ((vni(), mac(3)), FdbTarget::Bridging { ifindex: port1 }),
                ((vni(), mac(0xfe)), FdbTarget::Host { ifindex: port1 }),
                ((vni(), mac(4)), remote(2)),
                ((vni(), mac(5)), remote(3)),
            ]
            .into(),
            flood: [(
                vni(),
                [
                    FdbTarget::Container { ifindex: port0 },
                    FdbTarget::Bridging { ifindex: port1 },
                    remote(2),
                    remote(3),
                ]
                .into(),
            )]
            .into(),
            neigh: (2..=5)
                .flat_map(|last| {
                    let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()]);
                    [[10, 0, 0, last].into(), v6].map(|address| ((vni(), address), mac(last)))
                })
                .collect(),
            tunnels: [(address(2), 1450), (address(3), 1450)].into(),
        }
    }

    /// What is pinned of this version.
    pub(crate) fn numbers(&self) -> Numbers {
        numbers_of(&self.pins())
    }

    /// Runs this test binary again as another process in this namespace, to be `role`.
    pub(crate) fn process(&self, role: &str, prefix: &[&str]) -> Output {
        let mut words: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        let own = std::env::current_exe().expect("this test");
        words.extend([own.display().to_string(), "restart::role".to_owned(), "--exact".to_owned()]);
        words.push("--nocapture".to_owned());
        let mut command: Command = self.netns.command(words);
        command.env(ROLE, format!("{role} {}", self.bpf.display()));
        output(command, DEADLINE).expect("another process")
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) maps: BTreeMap<PathBuf, u32>,
    pub(crate) links: BTreeMap<PathBuf, u32>,
    pub(crate) programs: BTreeMap<PathBuf, u32>,
}

/// The kernel's numbers of all maps and links pinned for one version, and of the programs that the links run.
pub(crate) fn numbers_of(version: &Path) -> Numbers {
    let mut numbers = Numbers::default();
    for path in entries(&version.join("maps")) {
        let info = MapInfo::from_pin(&path).expect("a pinned map");
        numbers.maps.insert(path, info.id());
    }
    for path in entries(&version.join("links")) {
        let info = FdLink::from(PinnedLink::from_pin(&path).expect("a pinned link")).info();
        let info = info.expect("what the kernel knows of a link");
        numbers.links.insert(path.clone(), info.id());
        numbers.programs.insert(path, info.program_id());
    }
    numbers
}

pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(dir).expect("a directory of pins");
    let mut paths: Vec<_> = read.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

pub(crate) fn vni() -> Vni {
    Vni::new(4096).expect("a VNI")
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

pub(crate) fn remote(last: u8) -> FdbTarget {
    FdbTarget::Remote { vtep: address(last) }
}

pub(crate) fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

pub(crate) fn entry(last: u8) -> PortEntry {
    PortEntry {
        vni: vni(),
        endpoint: Some(EndpointId::from_bytes([last; 32])),
        mac: mac(last),
        addresses: [[10, 0, 0, last].into()].into(),
        gateways: [[10, 0, 0, 254].into()].into(),
        any_source: false,
        isolated: last == 3,
    }
}

/// What the maps hold must be what was desired.
pub(crate) async fn expect(dataplane: &Dataplane, desired: &Desired) -> Result<()> {
    let mut fdb = dataplane.fdb().await?;
    fdb.sort_by_key(|row| (row.vni, row.mac));
    let row = |(&(vni, mac), &target): (&(Vni, MacAddr), &FdbTarget)| FdbRow { vni, mac, target };
    let wanted: Vec<FdbRow> = desired.fdb.iter().map(row).collect();
    ensure!(fdb == wanted, "FDB holds {fdb:?}");
    let mut flood: BTreeMap<Vni, BTreeSet<FdbTarget>> = BTreeMap::new();
    for row in dataplane.flood().await? {
        flood.entry(row.vni).or_default().insert(row.target);
    }
    ensure!(flood == desired.flood, "FLOOD holds {flood:?}");
    let mut neigh = dataplane.neigh().await?;
    neigh.sort_by_key(|row| (row.vni, row.address));
    let row = |(&(vni, address), &mac): (&(Vni, _), &MacAddr)| NeighRow { vni, address, mac };
    let wanted: Vec<NeighRow> = desired.neigh.iter().map(row).collect();
    ensure!(neigh == wanted, "NEIGH4 and NEIGH6 hold {neigh:?}");
    let ports: BTreeMap<_, _> =
        dataplane.ports().await?.into_iter().map(|row| (row.ifindex, row)).collect();
    ensure!(ports.keys().eq(desired.ports.keys()), "PORTS holds {ports:?}");
    for (ifindex, port) in &desired.ports {
        ensure!(ports[ifindex].entry == port.entry, "PORTS holds {ports:?}");
        ensure!(ports[ifindex].ifname.as_ref() == Some(&port.ifname), "PORTS holds {ports:?}");
    }
    Ok(())
}

/// A program may run for a moment after its link is gone.
pub(crate) async fn stopped(ifname: &str) -> Result<()> {
    for _ in 0..200 {
        if running(ifname)? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("{ifname} still runs a program")
}

/// How many programs a device of the calling thread's namespace runs on what it receives.
pub(crate) fn running(ifname: &str) -> Result<usize> {
    Ok(SchedClassifier::query_tcx(ifname, TcAttachType::Ingress)?.1.len())
}

/// The place of each member in the list of the one network.
pub(crate) async fn places(dataplane: &Dataplane) -> Result<BTreeMap<FdbTarget, u32>> {
    Ok(dataplane.flood().await?.into_iter().map(|row| (row.target, row.position)).collect())
}
