//! netctl: container networking across hosts, on eBPF.
//!
//! The modules form layers, from the bottom up: `model`, `store`, `ipam`, `kernel`, `dataplane`, `discovery`, `plugin`,
//! `drivers`, `controller`, `observe`, `api`, `docker`, `cni`, `bench`, `doctor`, `trace`, `cli`. A module imports only from
//! those before it in this list; `backoff`, `counts`, `crash` and `moment` are for all.

pub mod api;
mod backoff;
pub mod bench;
pub mod cli;
pub mod cni;
pub mod controller;
pub mod counts;
mod crash;
pub mod dataplane;
pub mod discovery;
pub mod docker;
pub mod doctor;
pub mod drivers;
#[cfg(test)]
mod fuzz;
pub mod ipam;
pub mod kernel;
pub mod model;
pub mod moment;
pub mod observe;
pub mod plugin;
pub mod store;
pub mod trace;
