//! What goes wrong: bad input, daemons that cannot start or are killed, a store that is away, others who meddle. Over
//! real daemons; each test has a lab of its own.

mod http;
mod inputs;
mod kills;
mod races;
mod start;
mod state;
