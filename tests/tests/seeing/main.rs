//! What those see who look at single packets, over real daemons and packets: `netctl monitor` and `netctl capture`.

mod capture;
mod flood;
mod listeners;
mod monitor;
#[path = "../support/refusals.rs"]
mod refusals;
mod stage;
mod switch;
