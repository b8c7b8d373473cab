//! What goes wrong: bad input, daemons that cannot start or are killed, a store that is away, others who meddle. Over
//! real daemons; each test has a lab of its own.

mod absence;
mod audit;
mod away;
mod cleanup;
mod clients;
mod clock;
mod cluster;
mod deaths;
#[path = "../support/echoes.rs"]
mod echoes;
mod ending;
mod hanging;
mod http;
mod inputs;
mod interference;
mod kills;
mod leftovers;
mod pins;
mod races;
mod requests;
mod scale;
mod start;
mod state;
#[path = "../support/stored.rs"]
mod stored;
#[path = "../support/stream.rs"]
mod stream;
mod synced;
mod traffic;
mod underlay;
mod upgrade;
