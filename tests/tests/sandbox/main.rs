//! What a sandbox is to its processes: its routes, its interfaces, its settings. Over real daemons, and told by the
//! kernel's own tools; each test has a lab of one host.

mod gateway;
