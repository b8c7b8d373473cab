//! Seeing what netctl does, and what keeps it from doing it.

pub mod doctor;
mod offloads;

pub use self::offloads::{OffloadOff, offloads_off};
