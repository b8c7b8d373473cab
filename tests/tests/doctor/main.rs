//! `netctl doctor`: faults are planted on real hosts, found and named, and mended by what it says.
//!
//! ```text
//!   h1: box1 (a.dev 10.77.0.2)      h2: box2 (b.dev 10.77.0.3)      network dev 10.77.0.0/24, with a way out
//! ```
//!
//! One lab serves many faults, one after another: each is planted, found, and gone before the next.

#[path = "../support/object.rs"]
mod object;

mod away;
mod cluster;
mod devices;
mod healthy;
mod machine;
mod paths;
mod sandboxes;
mod stage;
