//! Networks, endpoints, sandboxes and hosts as plain data, and the rules of their life.
//!
//! Nothing here does I/O. The JSON form of these types is the state in the store and the body of the API at once.

mod bound;
mod choice;
mod container;
mod daemon_note;
mod device;
mod endpoint;
mod engine;
mod event;
mod exposed;
mod host;
mod host_entry;
mod id;
mod lease;
mod link_alias;
mod name;
mod network;
mod peer;
mod policy;
mod published;
mod resolver;
mod sandbox;
mod scene;
mod spec;
mod sysctl;
mod view;
mod vteps;

pub use netctl_common::{MacAddr, Vni};

pub use self::{
    bound::BoundPort,
    choice::{Choice, ChoiceError, Chosen},
    container::{
        CniName, CniNameError, ContainerDevice, JoinSpec, JoinView, LeaveSpec, RetainSpec,
    },
    daemon_note::DaemonNote,
    device::{DeviceName, DeviceNameError},
    endpoint::{Endpoint, Owner},
    engine::{EngineEndpoint, EngineNetwork, EngineNetworkId, EngineNetworkIdError, EnginePool},
    event::{
        EndView, EventFilter, EventView, PacketView, Protocol, Reason, TunnelView, UnknownProtocol,
        UnknownReason,
    },
    exposed::{ExposedPort, ExposedPortError, Transport},
    host::Host,
    host_entry::{HostEntry, HostEntryError},
    id::{EndpointId, HostId, IdError, NetworkId, SandboxId},
    lease::{Lease, LeasedAddress, LeasedPool},
    link_alias::{LinkAlias, LinkAliasError, ambiguous},
    name::{HostName, Name, NameError, ServiceRef, ServiceRefError},
    network::{DriverName, Network, Subnet, SubnetError},
    peer::{Peer, PeerError},
    policy::{GatewayMode, Policy, WayOut},
    published::{PortRange, PublishedPort, PublishedPortError},
    resolver::{ResolverOption, ResolverOptionError, SearchDomain},
    sandbox::Sandbox,
    scene::{
        SceneEnd, SceneEndpoint, SceneHost, SceneLoss, SceneNetwork, ScenePair, ScenePlace,
        SceneStore, SceneTraffic, SceneView, SceneWay,
    },
    spec::{
        AttachSpec, ConnectSpec, NetworkSpec, RangeError, RangeSpec, RunSpec, SandboxSpec,
        ServiceSpec,
    },
    sysctl::{Sysctl, SysctlError},
    view::{
        AuditView, CarriedView, CounterView, FdbView, HostView, InterfaceView, KnownView,
        NamesView, NeighView, NetworkView, SandboxView, ServiceView, StatusView, StoreProbeView,
        TrafficView,
    },
    vteps::{Vteps, VtepsError},
};

/// The version of the JSON form of every stored value.
pub const SCHEMA: u32 = 1;

/// What the gateway of a network is called where others are by their service.
pub const GATEWAY: &str = "gateway";

/// Seconds since the Unix epoch.
pub type UnixTime = u64;
