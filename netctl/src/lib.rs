//! netctl: container networking across hosts, on eBPF.
//!
//! A module imports only from those above it in this list; `ARCHITECTURE.md` says why.

pub mod api;
pub mod cli;
pub mod controller;
pub mod kernel;
pub mod model;
pub mod store;
