//! Hosts, containers and maps.

use std::net::{IpAddr, Ipv6Addr};

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
        NEIGH6, NETWORKS, NEXT_HOPS, NEXT_HOPS_UNTIL, Neighbour, NeighbourKey4, NeighbourKey6,
        Network, NextHop, PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS, Vtep,
    },
};
use testbed::{Families, Netns, Run, Underlay};

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

/// What hosts and containers speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Hosts reach each other by IPv6, not IPv4.
    pub(crate) over6: bool,
    /// The underlay's, in bytes.
    pub(crate) mtu: u32,
    /// Containers have IPv6 beside IPv4, and the programs know all members of the network as such.
    pub(crate) dual: bool,
    /// The programs know the next hops, and leave nothing of the way to the kernel.
    pub(crate) next_hops: bool,
}

impl Setup {
    const PLAIN: Self = Self { over6: false, mtu: UNDERLAY_MTU, dual: false, next_hops: false };
    /// Both families in containers, over either on the underlay; each way to the next hop once.
    pub(crate) const DUAL: [Self; 2] = [
        Self { dual: true, next_hops: true, ..Self::PLAIN },
        Self { dual: true, over6: true, ..Self::PLAIN },
    ];

    /// What fits a tunnel, in bytes of the inner packet.
    pub(crate) fn inner_mtu(self) -> u32 {
        self.mtu - if self.over6 { 70 } else { 50 }
    }

    fn families(self) -> Families {
        if self.over6 { Families::V6 } else { Families::V4 }
    }
}

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

    /// Its address of IPv6, where the rig gives any: `fd00::` and the last byte of the other.
    pub(crate) fn ip6(self) -> Ipv6Addr {
        let [.., last] = self.address;
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into())
    }

    /// One of each family.
    pub(crate) fn both(self) -> [IpAddr; 2] {
        [self.address.into(), self.ip6().into()]
    }

    pub(crate) fn mac_text(self) -> String {
        MacAddr(self.mac).to_string()
    }
}

/// A host with programs on its underlay and vxlan devices.
pub(crate) struct Host {
    pub(crate) netns: Netns,
    pub(crate) address: [u8; 4],
    setup: Setup,
    /// How many places of the network's list are taken.
    members: u32,
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
    pub(crate) setup: Setup,
    pub(crate) run: Run,
}

impl Rig {
    /// IPv4 inside and outside.
    pub(crate) fn new() -> Result<Self> {
        Self::of(Setup::PLAIN)
    }

    pub(crate) fn of(setup: Setup) -> Result<Self> {
        let run = Run::new()?;
        let underlay = Underlay::of(run.dir(), setup.mtu, setup.families())?;
        let mut a = Host::of(setup, &run, &underlay, "h1", 1)?;
        let mut b = Host::of(setup, &run, &underlay, "h2", 2)?;
        let near = a.container(&run, "near", Station::number(11))?;
        let beside = a.container(&run, "beside", Station::number(12))?;
        let far = b.container(&run, "far", Station::number(21))?;
        a.knows_host(b.address)?;
        a.knows(far.station, FdbTarget::Remote(b.index()))?;
        b.knows_host(a.address)?;
        for container in [&near, &beside] {
            b.knows(container.station, FdbTarget::Remote(a.index()))?;
        }
        if setup.next_hops {
            let (mac_a, mac_b) = (mac_of(&a.netns, "eth0")?, mac_of(&b.netns, "eth0")?);
            a.knows_next_hop(b.index(), mac_b, mac_a)?;
            b.knows_next_hop(a.index(), mac_a, mac_b)?;
        }
        Ok(Self { near, beside, far, a, b, underlay, setup, run })
    }
}

impl Host {
    /// Makes a host whose address on the underlay ends with `last`.
    pub(crate) fn new(run: &Run, underlay: &Underlay, name: &str, last: u8) -> Result<Self> {
        Self::of(Setup::PLAIN, run, underlay, name, last)
    }

    fn of(setup: Setup, run: &Run, underlay: &Underlay, name: &str, last: u8) -> Result<Self> {
        let netns = Netns::new(run.dir(), name)?;
        underlay.join(&netns, last)?;
        netns.ip([
            format!(
                "link add {VXLAN} type vxlan external nolearning dstport {} udp6zerocsumtx udp6zerocsumrx srcport 49152 65535",
                object::PORT
            ),
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
        let (v4, v6) = if setup.over6 { ([0; 4], address6(address)) } else { (address, [0; 16]) };
        let ebpf = object::load(v4, v6, index(&netns, "eth0")?, index(&netns, VXLAN)?)?;
        let mut host = Self { netns, address, setup, members: 0, ebpf };
        host.attach(config::FROM_UNDERLAY, "eth0")?;
        host.attach(config::FROM_TUNNEL, VXLAN)?;
        host.floods(vni(), &[])?;
        let gateway = index(&host.netns, "nh")?;
        host.knows(GATEWAY, FdbTarget::Host(gateway))?;
        if setup.dual {
            host.joins(FdbTarget::Host(gateway))?;
        }
        host.set_port("np", GATEWAY, Port::ANY_SOURCE)?;
        host.attach(config::FROM_CONTAINER, "np")?;
        Ok(host)
    }

    pub(crate) fn container(
        &mut self,
        run: &Run,
        name: &str,
        station: Station,
    ) -> Result<Container> {
        let container = self.container_in(vni(), run, name, station)?;
        if self.setup.dual {
            let device = index(&self.netns, &format!("nc{name}"))?;
            self.joins(FdbTarget::Container(device))?;
        }
        Ok(container)
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
        let mtu = self.setup.inner_mtu();
        self.netns.ip([
            format!("link add {port} mtu {mtu} type veth peer name eth0 mtu {mtu} address {mac} netns {inside}"),
            format!("link set {port} master hr up"),
        ])?;
        netns.ip([format!("addr add {ip}/24 dev eth0"), "link set eth0 up".to_owned()])?;
        if self.setup.dual {
            netns.ip([format!("addr add {}/64 dev eth0 nodad", station.ip6())])?;
        }
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
        let mac = MacAddr(station.mac);
        let mut addresses6 = [[0; 16]; 4];
        if self.setup.dual {
            addresses6[0] = station.ip6().octets();
            addresses6[1] = netctl_common::addr6::link_local(mac);
        }
        let port = Port::new(vni, mac, [0; 32])
            .with_addresses4([station.address, [0; 4], [0; 4], [0; 4]])
            .with_addresses6(addresses6)
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
        self.map(NEIGH4)?.insert(key, Neighbour::new(mac), 0)?;
        if self.setup.dual {
            let key = NeighbourKey6::new(vni, station.ip6().octets());
            self.map(NEIGH6)?.insert(key, Neighbour::new(mac), 0)?;
        }
        Ok(())
    }

    /// Makes another host known, at the index that its address ends with, which has nothing of the network.
    pub(crate) fn knows_elsewhere(&mut self, address: [u8; 4]) -> Result<()> {
        self.set_tunnel(address, self.setup.inner_mtu())?;
        let index = u32::from(address[3]);
        let address = self.tunnel_address(address);
        Ok(self.map(VTEP_BY_ADDR)?.insert(address, index, 0)?)
    }

    /// Makes another host known as a member of the network.
    pub(crate) fn knows_host(&mut self, address: [u8; 4]) -> Result<()> {
        self.knows_elsewhere(address)?;
        let index = u32::from(address[3]);
        let key = MemberKey::new(vni(), self.tunnel_address(address));
        self.map(MEMBERS)?.insert(key, index, 0)?;
        if self.setup.dual {
            self.joins(FdbTarget::Remote(index))?;
        }
        Ok(())
    }

    /// Sets how much fits the tunnel to another host, in bytes of the inner packet.
    pub(crate) fn set_tunnel(&mut self, address: [u8; 4], mtu: u32) -> Result<()> {
        let (local, remote) = (self.address, address);
        let vtep = if self.setup.over6 {
            Vtep::new_v6(address6(local), address6(remote), object::PORT, mtu)
        } else {
            Vtep::new_v4(local, remote, object::PORT, mtu)
        };
        let mut vteps: Array<_, Vtep> =
            self.ebpf.map_mut(VTEPS).context("no map of hosts")?.try_into()?;
        Ok(vteps.set(u32::from(remote[3]), vtep, 0)?)
    }

    fn knows_next_hop(&mut self, at: u32, to: MacAddr, from: MacAddr) -> Result<()> {
        let map = self.ebpf.map_mut(NEXT_HOPS).context("no map of next hops")?;
        Array::<_, NextHop>::try_from(map)?.set(at, NextHop::new(to, from), 0)?;
        let map = self.ebpf.map_mut(NEXT_HOPS_UNTIL).context("no end of their time")?;
        Ok(Array::<_, u64>::try_from(map)?.set(0, u64::MAX, 0)?)
    }

    /// Gives a member of the network the next place in its list.
    pub(crate) fn joins(&mut self, target: FdbTarget) -> Result<()> {
        let key = FloodKey::new(vni(), self.members);
        self.map(FLOOD)?.insert(key, FloodMember::new(target), 0)?;
        self.members += 1;
        self.has_places(vni(), self.members)
    }

    /// Says who gets what is for a group of the network.
    pub(crate) fn floods(&mut self, vni: Vni, members: &[FdbTarget]) -> Result<()> {
        for (place, member) in (0..).zip(members) {
            let member = FloodMember::new(*member);
            self.map(FLOOD)?.insert(FloodKey::new(vni, place), member, 0)?;
        }
        self.has_places(vni, u32::try_from(members.len())?)
    }

    fn has_places(&mut self, vni: Vni, members: u32) -> Result<()> {
        let network = Network::new(self.setup.inner_mtu(), Some(MacAddr(GATEWAY.mac)));
        Ok(self.map(NETWORKS)?.insert(vni.get(), network.with_flood_members(members), 0)?)
    }

    /// Leaves a place in the list of the network's members empty.
    pub(crate) fn forgets_member(&mut self, place: u32) -> Result<()> {
        let mut flood: HashMap<_, FloodKey, FloodMember> = self.map(FLOOD)?;
        Ok(flood.remove(&FloodKey::new(vni(), place))?)
    }

    fn tunnel_address(&self, address: [u8; 4]) -> TunnelAddr {
        if self.setup.over6 {
            TunnelAddr::from_v6(address6(address))
        } else {
            TunnelAddr::from_v4(address)
        }
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
        self.ping_with(&[], ip)
    }

    /// The same with further options of ping(8).
    pub(crate) fn ping_with(&self, options: &[&str], ip: &str) -> Result<()> {
        let words = ["ping", "-n", "-c", "5", "-i", "0.02", "-W", "2"];
        let words = words.iter().chain(options).chain([&ip]);
        let output = self.netns.run(words)?.ok()?;
        ensure!(output.contains(" 0% packet loss"), "{output}");
        Ok(())
    }

    /// Sends by another station what is for this address.
    pub(crate) fn route(&self, to: IpAddr, via: IpAddr) -> Result<()> {
        let length = if to.is_ipv4() { 32 } else { 128 };
        self.netns.ip([format!("route replace {to}/{length} via {via} dev eth0")])
    }
}

pub(crate) fn vni() -> Vni {
    Vni::new(VNI).expect("a VNI")
}

/// The IPv6 address on the underlay of the host with that address of IPv4.
pub(crate) fn address6(address: [u8; 4]) -> [u8; 16] {
    let [.., last] = address;
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).octets()
}

pub(crate) fn index(netns: &Netns, device: &str) -> Result<u32> {
    let index = netns.within(|| Ok(nix::net::if_::if_nametoindex(device)?));
    index.with_context(|| format!("{device} in {}", netns.name()))
}

pub(crate) fn mac_of(netns: &Netns, device: &str) -> Result<MacAddr> {
    let text = netns.run(["ip", "-brief", "link", "show", "dev", device])?.ok()?;
    let mac = text.split_whitespace().nth(2).context("no address")?;
    mac.parse().map_err(|error| anyhow::anyhow!("{mac}: {error}"))
}

/// Switches features of a device by ethtool(8): `tso`, `gro`, ….
pub(crate) fn switch(netns: &Netns, device: &str, features: &[&str], state: &str) -> Result<()> {
    if features.is_empty() {
        return Ok(());
    }
    let pairs = features.iter().flat_map(|feature| [*feature, state]);
    netns.run(["ethtool", "-K", device].into_iter().chain(pairs))?.ok().map(drop)
}
