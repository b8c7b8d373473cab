//! Hosts made of network namespaces, each with a real daemon: what the lab, the demo, the tests
//! and the benchmarks stand on.
//!
//! ```text
//!   h1 ─ eth0 192.0.2.1 ──┐
//!   h2 ─ eth0 192.0.2.2 ──┤ bridge `underlay`, in a namespace of its own
//!   …                     ├── etcd      eth0 192.0.2.253
//!                         └── external  eth0 192.0.2.254, a host outside every network
//! ```
//!
//! Everything a [`Lab`] makes lives below one directory: the namespaces and the daemons' BPF file
//! systems are mounts there, and each process started from it carries that directory in its
//! environment. So the directory is the record of what there is to clean up, and cleaning up
//! needs no other memory: it is the same whether a lab is dropped, a test panics, somebody presses
//! Ctrl-C, or a run that was killed is found later by [`sweep`].
//!
//! The root namespace's links and settings are never touched.

mod capture;
mod cgroup;
mod client;
mod command;
mod containerd;
mod daemon;
mod engine;
mod etcd;
pub mod frames;
mod host;
mod interrupt;
mod lab;
mod mounts;
mod netns;
mod podman;
mod process;
pub mod random;
mod run;
mod system;
pub mod texts;
mod underlay;
mod wire;

pub use capture::Capture;
pub use client::Client;
pub use command::{DEADLINE, Output, eventually, output, output_fed, output_of};
pub use containerd::Containerd;
pub use engine::{Engine, EngineOptions, IMAGE};
pub use etcd::Etcd;
pub use host::Host;
pub use interrupt::{Forward, clean_on_interrupt};
pub use lab::{Lab, Options, Store, Wiring};
pub use netns::Netns;
pub use nix::sys::signal::Signal;
pub use podman::Podman;
pub use process::Process;
pub use run::is_root;
pub use run::{Run, gone, sweep};
pub use system::System;
pub use underlay::{ETCD, EXTERNAL, Families, Underlay, address, address6};
pub use wire::Wire;
