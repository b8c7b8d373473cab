//! What those see who look after a host: metrics, in the form that Prometheus reads, and single packets.

pub mod capture;
mod events;
pub mod metrics;

pub use events::Events;
