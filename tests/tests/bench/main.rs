//! `netctl bench` and its load generator, over real namespaces and daemons. Nothing here says how fast anything is.

mod generator;
mod hosts;
