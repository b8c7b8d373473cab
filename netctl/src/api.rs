//! REST over a unix socket: what the daemon serves and the command line calls.
//!
//! `GET /metrics` is for Prometheus, and the one of these routes that is served by TCP too, where that is asked for. So is a page
//! for a browser, at an address of its own. `GET /v1/events` has no end: each line of its answer is an event.
//!
//! All other requests and answers are the JSON form of the model's `…Spec` and `…View` types. A request that fails is
//! answered with `{"error": "<one sentence>", "kind": "<sort>"}` and the status of its
//! [`Kind`](crate::controller::Kind). What is no request of HTTP's has a status alone.

pub mod client;
mod events;
mod failure;
mod metrics;
mod request;
mod routes;
mod server;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod web;

use serde::{Deserialize, Serialize};

pub use self::{
    client::{Client, EventStream},
    metrics::MetricsListener,
    server::serve,
    socket::{Claim, ClaimError},
    tcp::ListenError,
    web::WebListener,
};

/// The answer to `GET /v1/version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The version of netctl.
    pub version: String,
    /// The version of the layout of its pinned maps.
    pub abi: u32,
}

impl Version {
    /// The version of this build.
    pub fn of_this_build() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), abi: netctl_common::ABI_VERSION }
    }
}

/// Which services to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFilter {
    /// Only those of this network.
    network: Option<String>,
}

/// Which networks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFilter {
    /// Those that are on other hosts alone, too.
    #[serde(default)]
    all: bool,
}

/// How to remove a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    /// Also where it is attached.
    #[serde(default)]
    force: bool,
}

/// What to detach a service from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detachment {
    /// The sandbox: its name, its id, or the beginning of its id.
    sandbox: String,
}

/// What to take a sandbox off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnection {
    /// The sandbox: its name, its id, or the beginning of its id.
    sandbox: String,
    /// The network: its name, its id, or the beginning of its id.
    network: String,
}
