//! What netctl promises, over real daemons as processes on hosts made of namespaces: each scenario on the embedded
//! store and on a real etcd.
//!
//! A container is a sandbox without a process: commands run in it by `netctl exec`, as a person would run them. What
//! one host did is seen on another a moment later, so that is waited for; what the same host did, and what is read from
//! the store, is there at once.

#[path = "acceptance/stage.rs"]
#[macro_use]
mod stage;
#[path = "acceptance/apart.rs"]
mod apart;
#[path = "acceptance/container.rs"]
mod container;
#[path = "acceptance/rest.rs"]
mod rest;

#[path = "acceptance/drivers.rs"]
mod drivers;
#[path = "acceptance/field.rs"]
mod field;
#[path = "acceptance/groups.rs"]
mod groups;
#[path = "acceptance/handover.rs"]
mod handover;
#[path = "acceptance/hosts.rs"]
mod hosts;
#[path = "acceptance/ipv6.rs"]
mod ipv6;
#[path = "acceptance/isolation.rs"]
mod isolation;
#[path = "acceptance/live.rs"]
mod live;
#[path = "acceptance/model.rs"]
mod model;
#[path = "acceptance/names.rs"]
mod names;
#[path = "acceptance/outside.rs"]
mod outside;
#[path = "acceptance/overlay.rs"]
mod overlay;
#[path = "acceptance/ports.rs"]
mod ports;
#[path = "acceptance/published.rs"]
mod published;
#[path = "acceptance/restart.rs"]
mod restart;
#[path = "acceptance/run.rs"]
mod run;
#[path = "acceptance/stock.rs"]
mod stock;
#[path = "acceptance/underlay6.rs"]
mod underlay6;
#[path = "acceptance/wire.rs"]
mod wire;

#[path = "support/echoes.rs"]
mod echoes;
#[path = "support/stream.rs"]
mod stream;
#[path = "support/who.rs"]
mod who;
