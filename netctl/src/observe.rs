//! What those see who look after a host: so far metrics, in the form that Prometheus reads.

pub mod metrics;
