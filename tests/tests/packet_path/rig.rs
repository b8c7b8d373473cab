//! Hosts, containers and maps.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, HashMap},
    programs::{
        LinkOrder, TcAttachType,
        tc::{SchedClassifierLinkId, TcAttachOptions},
    },
};
use netctl_common::{
    MacAddr, Vni, config,
    maps::{
        FDB, FLOOD, FdbEntry, FdbKey, FdbTarget, FloodKey, FloodMember, MEMBERS, MemberKey, NEIGH4,
        NETWORKS, Neighbour, NeighbourKey4, Network, PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS,
        Vtep,
    },
};
use testbed::{Netns, Run, Underlay};

use crate::{
    counters::{self, Counters},
    object,
};

pub(crate) const VNI: u32 = 4097;
pub(crate) const UNDERLAY_MTU: u32 = 1500;
/// What fits a container, behind 50 bytes of overhead.
pub(crate) const MTU: u32 = UNDERLAY_MTU - 50;
const VXLAN: &str = "netctl-vx";
pub(crate) const GATEWAY: Station = Station { mac: [2, 0, 0, 0, 0, 1], address: [10, 0, 0, 1] };

/// An interface in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Station {
    pub(crate) mac: [u8; 6],
    pub(crate) address: [u8; 4],
}

impl Station {
    pub(crate) const fn number(last: u8) -> Self {
        Self { mac: [2, 0, 0, 0, 0, last], address: [10, 0, 0, last] }
    }

    pub(crate) fn ip(self) -> String {
        std::net::Ipv4Addr::from(self.address).to_string()
    }

    pub(crate) fn mac_text(self) -> String {
        MacAddr(self.mac).to_string()
    }
}

/// A host with programs on its underlay and vxlan devices.
pub(crate) struct Host {
    pub(crate) netns: Netns,
    pub(crate) address: [u8; 4],
    ebpf: Ebpf,
}

/// A namespace with one interface, `eth0`, behind a host's `nc<name>`.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) station: Station,
}

pub(crate) struct Rig {
    pub(crate) near: Container,
    pub(crate) beside: Container,
    pub(crate) far: Container,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) underlay: Underlay,
    pub(crate) run: Run,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let run = Run::new()?;
        let underlay = Underlay::new(run.dir(), UNDERLAY_MTU)?;
        let mut a = Host::new(&run, &underlay, "h1", 1)?;
        let mut b = Host::new(&run, &underlay, "h2", 2)?;
        let near = a.container(&run, "near", Station::number(11))?;
        let beside = a.container(&run, "beside", Station::number(12))?;
        let far = b.container(&run, "far", Station::number(21))?;
        a.knows_host(b.address)?;
        a.knows(far.station, FdbTarget::Remote(b.index()))?;
        b.knows_host(a.address)?;
        for container in [&near, &beside] {
            b.knows(container.station, FdbTarget::Remote(a.index()))?;
        }
        Ok(Self { near, beside, far, a, b, underlay, run })
    }
}

impl Host {
    /// Makes a host whose address on the underlay ends with `last`.
    pub(crate) fn new(run: &Run, underlay: &Underlay, name: &str, last: u8) -> Result<Self> {
        let netns = Netns::new(run.dir(), name)?;
        underlay.join(&netns, last)?;
        netns.ip([
            format!("link add {VXLAN} type vxlan external dstport {}", object::PORT),
            format!("link set {VXLAN} mtu 65485 up"),
            format!("link add np type veth peer name nh address {}", GATEWAY.mac_text()),
            format!("addr add {}/24 dev nh", GATEWAY.ip()),
            // Ports are what the daemon makes them: of a bridge that asks for headroom.
            "link add hr type bridge".to_owned(),
            "link add hv master hr type vxlan id 1 local ::1 dstport 1".to_owned(),
            "link set np master hr".to_owned(),
            "link set nh up".to_owned(),
            "link set np up".to_owned(),
        ])?;
        let address = [192, 0, 2, last];
        let ebpf = object::load(address, [0; 16], index(&netns, "eth0")?, index(&netns, VXLAN)?)?;
        let mut host = Self { netns, address, ebpf };
        host.attach(config::FROM_UNDERLAY, "eth0")?;
        host.attach(config::FROM_TUNNEL, VXLAN)?;
        host.floods(vni(), &[])?;
        let gateway = index(&host.netns, "nh")?;
        host.knows(GATEWAY, FdbTarget::Host(gateway))?;
        host.set_port("np", GATEWAY, Port::ANY_SOURCE | Port::HOST)?;
        host.attach(config::FROM_CONTAINER, "np")?;
        Ok(host)
    }

    pub(crate) fn container(
        &mut self,
        run: &Run,
        name: &str,
        station: Station,
    ) -> Result<Container> {
        self.container_in(vni(), run, name, station)
    }

    /// Makes a container in this network.
    pub(crate) fn container_in(
        &mut self,
        vni: Vni,
        run: &Run,
        name: &str,
        station: Station,
    ) -> Result<Container> {
        let netns = Netns::new(run.dir(), name)?;
        let port = format!("nc{name}");
        let (inside, mac, ip) = (netns.path().display(), station.mac_text(), station.ip());
        self.netns.ip([
            format!("link add {port} mtu {MTU} type veth peer name eth0 mtu {MTU} address {mac} netns {inside}"),
            format!("link set {port} master hr up"),
        ])?;
        netns.ip([format!("addr add {ip}/24 dev eth0"), "link set eth0 up".to_owned()])?;
        let device = index(&self.netns, &port)?;
        self.knows_in(vni, station, FdbTarget::Container(device))?;
        self.set_port_in(vni, &port, station, 0)?;
        self.attach(config::FROM_CONTAINER, &port)?;
        Ok(Container { netns, station })
    }

    /// Attaches a program to the ingress of a device.
    fn attach(&mut self, program: &str, device: &str) -> Result<SchedClassifierLinkId> {
        let ebpf = &mut self.ebpf;
        self.netns.within(|| {
            let options = TcAttachOptions::TcxOrder(LinkOrder::first());
            let program = object::program(ebpf, program)?;
            Ok(program.attach_with_options(device, TcAttachType::Ingress, options)?)
        })
    }

    /// Puts the station's port under these flags of [`Port`].
    pub(crate) fn set_port(&mut self, device: &str, station: Station, flags: u32) -> Result<()> {
        self.set_port_in(vni(), device, station, flags)
    }

    fn set_port_in(&mut self, vni: Vni, device: &str, station: Station, flags: u32) -> Result<()> {
        let device = index(&self.netns, device)?;
        let addresses = [station.address, [0; 4], [0; 4], [0; 4]];
        let port = Port::new(vni, MacAddr(station.mac), [0; 32])
            .with_addresses4(addresses)
            .with_flags(flags);
        Ok(self.map(PORTS)?.insert(device, port, 0)?)
    }

    /// Makes a station of the network known.
    pub(crate) fn knows(&mut self, station: Station, target: FdbTarget) -> Result<()> {
        self.knows_in(vni(), station, target)
    }

    pub(crate) fn knows_in(&mut self, vni: Vni, station: Station, target: FdbTarget) -> Result<()> {
        let mac = MacAddr(station.mac);
        self.map(FDB)?.insert(FdbKey::new(vni, mac), FdbEntry::new(target), 0)?;
        let key = NeighbourKey4::new(vni, station.address);
        Ok(self.map(NEIGH4)?.insert(key, Neighbour::new(mac), 0)?)
    }

    /// Says who gets what is for a group of the network.
    pub(crate) fn floods(&mut self, vni: Vni, members: &[FdbTarget]) -> Result<()> {
        for (place, member) in (0..).zip(members) {
            let member = FloodMember::new(*member);
            self.map(FLOOD)?.insert(FloodKey::new(vni, place), member, 0)?;
        }
        let network = Network::new(MTU, Some(MacAddr(GATEWAY.mac)));
        let network = network.with_flood_members(u32::try_from(members.len())?);
        Ok(self.map(NETWORKS)?.insert(vni.get(), network, 0)?)
    }

    /// Leaves a place in the list of the network's members empty.
    pub(crate) fn forgets_member(&mut self, place: u32) -> Result<()> {
        let mut flood: HashMap<_, FloodKey, FloodMember> = self.map(FLOOD)?;
        Ok(flood.remove(&FloodKey::new(vni(), place))?)
    }

    /// Makes another host known, at the index that its address ends with, as a member of the network.
    pub(crate) fn knows_host(&mut self, address: [u8; 4]) -> Result<()> {
        let at = u32::from(address[3]);
        let vtep = Vtep::new_v4(self.address, address, object::PORT, MTU);
        let mut vteps: Array<_, Vtep> =
            self.ebpf.map_mut(VTEPS).context("no map of hosts")?.try_into()?;
        vteps.set(at, vtep, 0)?;
        let address = TunnelAddr::from_v4(address);
        self.map(MEMBERS)?.insert(MemberKey::new(vni(), address), at, 0)?;
        Ok(self.map(VTEP_BY_ADDR)?.insert(address, at, 0)?)
    }

    /// The index under which the others know this host.
    pub(crate) fn index(&self) -> u32 {
        u32::from(self.address[3])
    }

    fn map<K: aya::Pod, V: aya::Pod>(
        &mut self,
        name: &str,
    ) -> Result<HashMap<&mut aya::maps::MapData, K, V>> {
        Ok(self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))?.try_into()?)
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        counters::read(&self.ebpf)
    }
}

impl Container {
    /// Pings an address, and fails unless every answer comes.
    pub(crate) fn ping(&self, ip: &str) -> Result<()> {
        let words = ["ping", "-n", "-c", "5", "-i", "0.02", "-W", "2", ip];
        let output = self.netns.run(words)?.ok()?;
        ensure!(output.contains(" 0% packet loss"), "{output}");
        Ok(())
    }
}

pub(crate) fn vni() -> Vni {
    Vni::new(VNI).expect("a VNI")
}

pub(crate) fn index(netns: &Netns, device: &str) -> Result<u32> {
    let index = netns.within(|| Ok(nix::net::if_::if_nametoindex(device)?));
    index.with_context(|| format!("{device} in {}", netns.name()))
}
