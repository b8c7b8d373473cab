//! The operations of the Container Network Model, the sync from the store, and the reconcile loop.

mod error;

use std::path::PathBuf;

pub use self::error::{Error, Kind};
use crate::{
    model::{
        CounterView, FdbView, HostName, HostView, NeighView, NetworkSpec, NetworkView, RunSpec,
        SandboxSpec, SandboxView, ServiceRef, ServiceSpec, ServiceView, StatusView,
    },
    store::SharedStore,
};

/// What a daemon takes from its machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's name, unique in the cluster.
    pub host: HostName,
    /// The shared state.
    pub store: SharedStore,
    /// Files that live as long as the machine is up.
    pub run_dir: PathBuf,
    /// Files that outlive it.
    pub state_dir: PathBuf,
    /// Where the bpffs with links and maps is.
    pub bpf_dir: PathBuf,
    /// Where namespaces of sandboxes are bound.
    pub netns_dir: PathBuf,
    /// The underlay device; found by itself where none is given.
    pub bind_interface: Option<String>,
    /// The UDP port of VXLAN, the same in the whole cluster.
    pub vxlan_port: u16,
}

/// The controller of one host.
#[derive(Debug)]
pub struct Controller;

/// The short form of a result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[expect(
    clippy::unused_async,
    clippy::unimplemented,
    unused_variables,
    reason = "replaced in the next commit"
)]
impl Controller {
    /// Brings the host up: adopts what is there, and keeps it as the store says from then on.
    pub async fn start(config: Config) -> Result<Self> {
        unimplemented!()
    }
    /// Stops working; the data plane goes on forwarding.
    pub async fn shutdown(self) {
        unimplemented!()
    }
    /// Creates a network.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkView> {
        unimplemented!()
    }
    /// All networks of the cluster, by name.
    pub async fn networks(&self) -> Result<Vec<NetworkView>> {
        unimplemented!()
    }
    /// One network by name, id or the beginning of its id, with its services.
    pub async fn network(&self, network: &str) -> Result<NetworkView> {
        unimplemented!()
    }
    /// Removes a network that has no services.
    pub async fn remove_network(&self, network: &str) -> Result<NetworkView> {
        unimplemented!()
    }
    /// Publishes a service.
    pub async fn publish(&self, spec: ServiceSpec) -> Result<ServiceView> {
        unimplemented!()
    }
    /// Removes a service; one that is attached only if `force`.
    pub async fn unpublish(&self, service: &ServiceRef, force: bool) -> Result<ServiceView> {
        unimplemented!()
    }
    /// All services of the cluster or of one network, by network and name.
    pub async fn services(&self, network: Option<&str>) -> Result<Vec<ServiceView>> {
        unimplemented!()
    }
    /// One service.
    pub async fn service(&self, service: &ServiceRef) -> Result<ServiceView> {
        unimplemented!()
    }
    /// Attaches a service to a sandbox of this host; one that is attached elsewhere only if `force`.
    pub async fn attach(
        &self,
        sandbox: &str,
        service: &ServiceRef,
        force: bool,
    ) -> Result<ServiceView> {
        unimplemented!()
    }
    /// Detaches a service from a sandbox of this host.
    pub async fn detach(&self, sandbox: &str, service: &ServiceRef) -> Result<ServiceView> {
        unimplemented!()
    }
    /// Creates a sandbox.
    pub async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxView> {
        unimplemented!()
    }
    /// Creates a sandbox with services, networks included, all or nothing.
    pub async fn run(&self, spec: RunSpec) -> Result<SandboxView> {
        unimplemented!()
    }
    /// The sandboxes of this host, by name.
    pub async fn sandboxes(&self) -> Result<Vec<SandboxView>> {
        unimplemented!()
    }
    /// One sandbox by name, id or the beginning of its id.
    pub async fn sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        unimplemented!()
    }
    /// Removes a sandbox with what was published for it, and detaches the rest.
    pub async fn remove_sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        unimplemented!()
    }
    /// The hosts of the cluster, by name.
    pub async fn hosts(&self) -> Result<Vec<HostView>> {
        unimplemented!()
    }
    /// The forwarding database of this host, as its map has it.
    pub async fn fdb(&self) -> Result<Vec<FdbView>> {
        unimplemented!()
    }
    /// The neighbours of this host, as its map has them.
    pub async fn neigh(&self) -> Result<Vec<NeighView>> {
        unimplemented!()
    }
    /// The counters of this host, as its map has them.
    pub async fn counters(&self) -> Result<Vec<CounterView>> {
        unimplemented!()
    }
    /// How this host is doing.
    pub async fn status(&self) -> StatusView {
        unimplemented!()
    }
}
