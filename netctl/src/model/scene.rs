//! What a host's page shows: hosts, networks and endpoints as this host knows them, and what they carry.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    BoundPort, CarriedView, CounterView, DriverName, EndpointId, HostName, MacAddr, Name, UnixTime,
    Vni, Vteps,
};

/// All of it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneView {
    /// The daemon's version.
    pub version: String,
    /// The host that looks.
    pub host: HostName,
    /// When its daemon started.
    pub started: UnixTime,
    /// How long ago that is, in milliseconds by a clock that nobody sets: what was counted between two looks was so in the
    /// difference.
    pub elapsed_ms: u64,
    /// The store.
    pub store: SceneStore,
    /// Whether the networks of interest and the hosts were ever listed whole; nothing follows from what is missing before.
    pub complete: bool,
    /// The hosts that are alive, and those that have endpoints all the same, by name.
    pub hosts: Vec<SceneHost>,
    /// The networks of interest here, by name.
    pub networks: Vec<SceneNetwork>,
    /// Their endpoints, those of this host first, by network and name.
    pub endpoints: Vec<SceneEndpoint>,
    /// How many more there are.
    pub left_out: usize,
    /// What the programs of this host dropped, where that is anything.
    pub drops: Vec<CounterView>,
    /// What went on between services of late, as the programs of this host saw it; `None` where they have only begun to look.
    pub traffic: Option<SceneTraffic>,
    /// Whose packets were dropped while somebody looked.
    pub losses: Vec<SceneLoss>,
}

/// What went on between services. What is for a group is in none of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneTraffic {
    /// Over how long, in milliseconds.
    pub over_ms: u64,
    /// Who sent to whom, the busiest first.
    pub pairs: Vec<ScenePair>,
    /// How many more pairs there were.
    pub left_out: usize,
    /// What went from place to place, of all pairs.
    pub ways: Vec<SceneWay>,
}

/// Who sent to whom. Packets are as the programs saw them, many of a stream in one, with bytes from the inner Ethernet header
/// on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenePair {
    /// The network, by its place among the networks.
    pub network: usize,
    /// Who sent.
    pub source: SceneEnd,
    /// For whom it was.
    pub destination: SceneEnd,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// One end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SceneEnd {
    /// The service, or `gateway`; `None` of a station that is none any more.
    pub service: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub place: ScenePlace,
}

/// Where a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScenePlace {
    /// The host.
    pub host: Option<HostName>,
    /// The tunnel address, where that is no host of netctl.
    pub vtep: Option<IpAddr>,
}

impl ScenePlace {
    /// Whether it is anywhere.
    pub fn is_known(&self) -> bool {
        self.host.is_some() || self.vtep.is_some()
    }
}

/// What went from one place to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneWay {
    /// From where.
    pub source: ScenePlace,
    /// Where to.
    pub destination: ScenePlace,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Packets that one program dropped for one reason, of those that came by one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneLoss {
    /// The endpoint that sent them, if it is one of the host that looks.
    pub endpoint: Option<EndpointId>,
    /// Its network.
    pub network: Option<Name>,
    /// The service that sent them, or `gateway`.
    pub service: Option<String>,
    /// The device; `None` where it is gone.
    pub device: Option<String>,
    /// The program.
    pub program: String,
    /// The reason.
    pub counter: String,
    /// The reason, in a sentence.
    pub description: String,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Whether the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneStore {
    /// Where it is.
    pub place: String,
    /// Whether it answered when it was asked last; `None` before it was asked.
    pub answers: Option<bool>,
    /// Since when that is so.
    pub since: Option<UnixTime>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneHost {
    /// Its name.
    pub name: HostName,
    /// Whether it is the one that looks.
    pub this: bool,
    /// Whether it was heard of; `None` where that is not known.
    pub alive: Option<bool>,
    /// Its addresses on the underlay.
    pub vteps: Vteps,
    /// The MTU of its underlay device, in bytes; `None` where only its endpoints tell of it.
    pub mtu: Option<u32>,
    /// Its daemon's version, likewise.
    pub version: Option<String>,
    /// How many endpoints of the networks of interest are on it.
    pub endpoints: usize,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneNetwork {
    /// Its name.
    pub name: Name,
    /// What carries it.
    pub driver: DriverName,
    /// Its segment.
    pub vni: Option<Vni>,
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Whether it has no way out.
    pub internal: bool,
    /// How many endpoints it has.
    pub endpoints: usize,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneEndpoint {
    /// Which.
    pub id: EndpointId,
    /// Its name.
    pub name: Name,
    /// Further names.
    pub aliases: Vec<Name>,
    /// Its network, by its place among the networks.
    pub network: usize,
    /// The host that it is attached on.
    pub host: Option<HostName>,
    /// Where it is for ever, where that is no host of netctl.
    pub vtep: Option<IpAddr>,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What its published ports are bound to on its host.
    pub ports: Vec<BoundPort>,
    /// What it has received, where it is on the host that looks and has an interface of netctl's.
    pub received: Option<CarriedView>,
    /// What it has sent, likewise.
    pub sent: Option<CarriedView>,
}
