//! What goes wrong: bad input, daemons that cannot start or are killed, a store that is away, others who meddle. Over
//! real daemons; each test has a lab of its own.

mod absence;
mod audit;
mod away;
mod cleanup;
mod clients;
mod deaths;
mod http;
mod inputs;
mod interference;
mod kills;
mod leftovers;
mod races;
mod scale;
mod start;
mod state;
