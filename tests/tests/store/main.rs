//! The store: one conformance suite for all backends, and what each must do beyond it.

mod etcd;
mod etcd_faults;
mod etcd_server;
mod file;
mod memory;
mod suite;
