//! A host's programs and maps, and the containers behind it.

use std::{collections::BTreeMap, net::IpAddr};

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
    MacAddr, Vni, addr6, config,
    maps::{
        FDB, FLOOD, FdbEntry, FdbKey, FdbTarget, FloodKey, FloodMember, MEMBERS, MemberKey, NEIGH4,
        NEIGH6, NETWORKS, NEXT_HOPS, NEXT_HOPS_UNTIL, Neighbour, NeighbourKey4, NeighbourKey6,
        Network, NextHop, PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS, Vtep,
    },
};
use testbed::{Netns, Run, Underlay};

use crate::{
    counters::{self, Counters},
    object,
    rig::{GATEWAY, Setup, Station, address6, index},
};

const VXLAN: &str = "netctl-vx";

/// A host with programs on its underlay and vxlan devices.
pub(crate) struct Host {
    pub(crate) netns: Netns,
    pub(crate) address: [u8; 4],
    setup: Setup,
    /// How many places there are in each network's list of members.
    members: BTreeMap<Vni, u32>,
    ebpf: Ebpf,
}

/// A namespace with one interface, `eth0`, behind a host's `nc<name>`.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) station: Station,
}

impl Host {
    /// Makes a host whose address on the underlay ends with `last`.
    pub(crate) fn new(
        run: &Run,
        underlay: &Underlay,
        name: &str,
        last: u8,
        setup: Setup,
    ) -> Result<Self> {
        let netns = Netns::new(run.dir(), name)?;
        underlay.join(&netns, last)?;
        // What is made from here on says nothing by itself.
        netns.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
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
        let mut host = Self { netns, address, setup, members: BTreeMap::new(), ebpf };
        host.attach(config::FROM_UNDERLAY, "eth0")?;
        host.attach(config::FROM_TUNNEL, VXLAN)?;
        let gateway = index(&host.netns, "nh")?;
        host.knows(GATEWAY, FdbTarget::Host(gateway))?;
        host.joins(GATEWAY.network, FdbTarget::Host(gateway))?;
        host.set_port("np", GATEWAY, Port::ANY_SOURCE)?;
        host.attach(config::FROM_CONTAINER, "np")?;
        Ok(host)
    }

    /// Makes a container, a member of its station's network.
    pub(crate) fn container(
        &mut self,
        run: &Run,
        name: &str,
        station: Station,
    ) -> Result<Container> {
        let netns = Netns::new(run.dir(), name)?;
        if !self.setup.dual {
            netns.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
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
        self.knows(station, FdbTarget::Container(device))?;
        self.joins(station.network, FdbTarget::Container(device))?;
        self.set_port(&port, station, 0)?;
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
        let device = index(&self.netns, device)?;
        let mac = MacAddr(station.mac);
        let mut addresses6 = [[0; 16]; 4];
        addresses6[0] = station.ip6().octets();
        addresses6[1] = addr6::link_local(mac);
        let port = Port::new(station.network, mac, [0; 32])
            .with_addresses4([station.address, [0; 4], [0; 4], [0; 4]])
            .with_addresses6(addresses6)
            .with_flags(flags);
        Ok(self.map(PORTS)?.insert(device, port, 0)?)
    }

    /// Makes a station known in its network.
    pub(crate) fn knows(&mut self, station: Station, target: FdbTarget) -> Result<()> {
        let (network, mac) = (station.network, MacAddr(station.mac));
        self.map(FDB)?.insert(FdbKey::new(network, mac), FdbEntry::new(target), 0)?;
        let key = NeighbourKey4::new(network, station.address);
        self.map(NEIGH4)?.insert(key, Neighbour::new(mac), 0)?;
        let key = NeighbourKey6::new(network, station.ip6().octets());
        Ok(self.map(NEIGH6)?.insert(key, Neighbour::new(mac), 0)?)
    }

    /// Makes another host known, at the index that its address ends with.
    pub(crate) fn knows_host(&mut self, address: [u8; 4]) -> Result<()> {
        self.set_tunnel(address, self.setup.inner_mtu())?;
        let [.., index] = address.map(u32::from);
        let address = self.tunnel_address(address);
        Ok(self.map(VTEP_BY_ADDR)?.insert(address, index, 0)?)
    }

    /// The same, of a host with members of this network.
    pub(crate) fn knows_member(&mut self, network: Vni, address: [u8; 4]) -> Result<()> {
        self.knows_host(address)?;
        let [.., index] = address.map(u32::from);
        let key = MemberKey::new(network, self.tunnel_address(address));
        self.map(MEMBERS)?.insert(key, index, 0)?;
        self.joins(network, FdbTarget::Remote(index))
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

    pub(crate) fn knows_next_hop(&mut self, at: u32, to: MacAddr, from: MacAddr) -> Result<()> {
        let map = self.ebpf.map_mut(NEXT_HOPS).context("no map of next hops")?;
        Array::<_, NextHop>::try_from(map)?.set(at, NextHop::new(to, from), 0)?;
        let map = self.ebpf.map_mut(NEXT_HOPS_UNTIL).context("no end of their time")?;
        Ok(Array::<_, u64>::try_from(map)?.set(0, u64::MAX, 0)?)
    }

    /// Gives a member of a network, which may be its first, the next place in the network's list.
    fn joins(&mut self, network: Vni, target: FdbTarget) -> Result<()> {
        let members = self.members.entry(network).or_default();
        let key = FloodKey::new(network, *members);
        *members += 1;
        let value = Network::new(self.setup.inner_mtu(), Some(MacAddr(GATEWAY.mac)))
            .with_flood_members(*members);
        self.map(FLOOD)?.insert(key, FloodMember::new(target), 0)?;
        Ok(self.map(NETWORKS)?.insert(network.get(), value, 0)?)
    }

    /// Leaves a place in a network's list empty.
    pub(crate) fn leaves(&mut self, network: Vni, place: u32) -> Result<()> {
        let mut flood: HashMap<_, FloodKey, FloodMember> = self.map(FLOOD)?;
        Ok(flood.remove(&FloodKey::new(network, place))?)
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

    /// What it has counted since it had counted `before`.
    pub(crate) fn counters_since(&self, before: &Counters) -> Result<Counters> {
        let mut counters = self.counters()?;
        for (place, count) in before {
            let now = counters.get_mut(place).context("counters do not fall")?;
            *now = (now.0 - count.0, now.1 - count.1);
        }
        counters.retain(|_, count| count.0 != 0);
        Ok(counters)
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
