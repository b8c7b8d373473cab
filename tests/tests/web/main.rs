//! The page in a real browser, over real daemons and packets; and what is served at its address to others than browsers.

mod between;
mod browser;
mod faults;
#[path = "../support/http.rs"]
mod http;
mod listener;
mod many;
mod page;
mod stage;
