//! What container engines have: pools, addresses, networks and endpoints, as their plugin protocol asks for them.
//!
//! An engine has names of its own for networks, and says nothing of them but what it was told. So the store knows for each
//! engine which of its networks is which of netctl's (`docker/networks`), which pools it asked for (`docker/pools`) and
//! which endpoints it made (`docker/endpoints`). A network that was made for an engine goes in the transaction that
//! removes the last of those; each that adds one puts the network too, so that both exclude each other.

mod addresses;
mod endpoints;
mod names;
mod networks;
mod pools;
mod ports;
mod rename;
mod stale;

pub use self::{
    addresses::EngineAddress,
    endpoints::{EngineAttachment, EngineEndpointSpec},
    networks::{EngineNetworkSpec, EngineSubnet},
    pools::{EnginePoolSpec, EnginePoolView},
    stale::EngineHolds,
};
use super::{Controller, keys};
use crate::ipam::Holder;

/// Whose networks they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineScope {
    /// Those of this host's engine.
    Host,
    /// Those of a Swarm, of which each engine makes its own when it needs it.
    Swarm,
}

impl Controller {
    /// What stands in keys for whose they are.
    fn engine_of(&self, scope: EngineScope) -> String {
        match scope {
            EngineScope::Host => keys::engine_of_host(&self.config.host),
            EngineScope::Swarm => "swarm".to_owned(),
        }
    }

    fn holder(&self, scope: EngineScope) -> Holder {
        match scope {
            EngineScope::Host => Holder::Host(self.config.host.clone()),
            EngineScope::Swarm => Holder::Swarm,
        }
    }
}
