//! What people are shown: the bodies of answers.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BoundPort, Chosen, CniName, Endpoint, EndpointId, Host, HostName, LinkAlias, MacAddr, Name,
    Network, Sandbox, SandboxId, UnixTime, Vni, Vteps,
};

/// A network with its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkView {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// Its services, by name. In a list of networks it is left empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceView>,
}

/// A service: an endpoint with the name of its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// The name of its network.
    pub network_name: Name,
    /// What the plugin that carries it says of it, where it is attached on the host that is asked. In a list of services
    /// it is left empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugin_info: BTreeMap<String, Value>,
}

impl ServiceView {
    /// Its name with that of its network.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.endpoint.name, self.network_name)
    }
}

/// A sandbox with what is attached to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxView {
    /// The sandbox.
    #[serde(flatten)]
    pub sandbox: Sandbox,
    /// Its host.
    pub host: HostName,
    /// Its interfaces, in the order of attaching.
    pub interfaces: Vec<InterfaceView>,
    /// The file that its processes see as `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The file that its processes see as `/etc/hosts`.
    pub hosts: PathBuf,
}

/// One endpoint as a sandbox sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// The device in the sandbox; none where the driver makes none.
    pub device: Option<String>,
    /// The service.
    pub service: Name,
    /// Its identifier.
    pub endpoint: EndpointId,
    /// The network.
    pub network: Name,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Its addresses, each with its subnet's prefix length.
    pub addresses: Vec<IpNet>,
    /// Of a sandbox's networks with a way out, that with the highest has the default route.
    #[serde(default)]
    pub gw_priority: i32,
    /// Names that the sandbox alone has for services of the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<LinkAlias>,
    /// What its published ports are bound to on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<BoundPort>,
    /// The CNI network configuration that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<CniName>,
}

impl InterfaceView {
    /// The name of the service with that of its network.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.service, self.network)
    }
}

/// A host of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// What its daemon says.
    #[serde(flatten)]
    pub host: Host,
    /// Whether it is the one that was asked.
    pub this: bool,
}

/// What a host knows without asking the store: the networks that it takes part in, as it has followed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownView {
    /// The networks of which anything is known.
    pub networks: Vec<Network>,
    /// Their services.
    pub services: Vec<ServiceView>,
    /// The hosts that are alive; `None` where they were never listed whole.
    pub hosts: Option<Vec<Host>>,
    /// Since when the store has not answered, if it does not.
    pub away_since: Option<UnixTime>,
}

/// One entry of the forwarding database, as the map has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbView {
    /// The segment.
    pub vni: Vni,
    /// The network, where it is known.
    pub network: Option<Name>,
    /// The station; `None` where it is a member that gets what is sent to all of the network.
    pub mac: Option<MacAddr>,
    /// The local device that leads to it.
    pub device: Option<String>,
    /// The remote tunnel end that leads to it.
    pub vtep: Option<IpAddr>,
    /// The service it belongs to, where it is known; `gateway` for the host endpoint.
    pub service: Option<String>,
}

/// One neighbour, as the map has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighView {
    /// The segment.
    pub vni: Vni,
    /// The network, where it is known.
    pub network: Option<Name>,
    /// The address.
    pub address: IpAddr,
    /// The station that has it.
    pub mac: MacAddr,
}

/// One counter of the data plane, summed over processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterView {
    /// The program that counts: `from-container`, `from-underlay`, `from-tunnel`.
    pub program: String,
    /// The verdict or the drop reason.
    pub counter: String,
    /// The same in a sentence.
    pub description: String,
    /// Whether what it counts was dropped.
    pub drop: bool,
    /// Packets; a packet of many segments counts once.
    pub packets: u64,
    /// Bytes of the packets, from the Ethernet header on.
    pub bytes: u64,
}

/// What an endpoint of this host has carried since its interface was made, as its sandbox sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// Its network.
    pub network: Name,
    /// Its name.
    pub service: Name,
    /// Its id.
    pub id: EndpointId,
    /// The sandbox that it is attached to.
    pub sandbox: SandboxId,
    /// What it has received.
    pub received: CarriedView,
    /// What it has sent, be it dropped afterwards.
    pub sent: CarriedView,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedView {
    /// Packets; a packet of many segments counts once.
    pub packets: u64,
    /// Bytes of the packets, from the Ethernet header on.
    pub bytes: u64,
    /// Packets that the kernel had no room or no taker for.
    pub dropped: u64,
}

/// How many questions a host's name servers were asked since the daemon's start, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesView {
    /// All that were received, malformed ones too.
    pub queries: u64,
    /// Those that were no query, or one that cannot be read.
    pub malformed: u64,
    /// Those that were sent on to another name server.
    pub forwarded: u64,
    /// Those of the forwarded that no name server answered.
    pub failed: u64,
    /// Those, and connections, that were turned away because too many were under way.
    pub refused: u64,
}

/// How the store did when it was tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreProbeView {
    /// Where it is.
    pub place: String,
    /// How long a read took, in milliseconds.
    pub read_ms: u64,
    /// Why it failed, if it did.
    pub read_error: Option<String>,
    /// How long a change took, in milliseconds.
    pub write_ms: u64,
    /// Why it failed, if it did.
    pub write_error: Option<String>,
}

/// What a daemon found when it compared what is taken in the store with what objects hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// When it looked last.
    pub at: UnixTime,
    /// How many keys nobody held and it has freed, since its start.
    pub freed: u64,
    /// How many keys it has put back that an object holds, since its start.
    pub put_back: u64,
    /// How much it left as it was when it looked last: what cannot be read, or is held twice. Its log says what.
    pub unclear: u64,
}

/// How a daemon and what it depends on are doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The daemon's version.
    pub version: String,
    /// The host's name.
    pub host: HostName,
    /// The underlay device.
    pub underlay: String,
    /// The host's addresses on it.
    pub vteps: Vteps,
    /// The MTU of it, in bytes.
    pub underlay_mtu: u32,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Whether TCP's packets may be larger than 64 KiB.
    pub big_tcp: Chosen,
    /// Whether the underlay's driver drops forged packets already.
    pub xdp: Chosen,
    /// Whether the programs can take the tunnel's headers off merged datagrams, which the kernel's vxlan device does
    /// otherwise.
    pub merged_datagrams: bool,
    /// Other hosts with endpoints in its networks.
    pub tunnels: usize,
    /// Those of them that packets are sent to without asking the kernel for each.
    pub next_hops: usize,
    /// Where the store is.
    pub store: String,
    /// Why the store cannot be used, if so: read, or only not changed.
    pub store_error: Option<String>,
    /// Since when, as far as this daemon has asked it.
    #[serde(default)]
    pub store_error_since: Option<UnixTime>,
    /// Networks that this host takes part in.
    pub networks: usize,
    /// Endpoints attached on this host.
    pub endpoints: usize,
    /// Sandboxes on this host.
    pub sandboxes: usize,
    /// What its name servers did.
    pub names: NamesView,
    /// What it found in the store that nobody holds; none before it has looked.
    pub audit: Option<AuditView>,
    /// Where links and maps are pinned.
    pub bpf_dir: PathBuf,
    /// When the daemon started.
    pub started: UnixTime,
}
