//! The store: one conformance suite for all backends, and what each must do beyond it.

#![expect(clippy::unwrap_used, reason = "what a test does not expect is its failure")]

mod etcd;
mod etcd_faults;
mod etcd_server;
mod file;
mod memory;
mod suite;
