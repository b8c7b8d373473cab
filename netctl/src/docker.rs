//! Docker's plugin: the remote network driver and IPAM protocols of libnetwork, as the engine calls them.
//!
//! What the engine asks for is done by the controller; nothing here remembers anything, so that a daemon that was started
//! anew goes on where another was. Two sockets may serve: one for the engine's own networks, and one, by way of a managed
//! plugin, for those of a Swarm.

mod call;
mod engine;
mod ipam;
mod names;
mod network;
mod ports;
mod reconcile;
mod resolvers;
mod server;
mod socket;

pub use self::{
    engine::Engine,
    names::follow,
    reconcile::reconcile,
    server::serve,
    socket::{PluginSocket, SocketError},
};
pub use crate::plugin::PluginScope as Scope;
