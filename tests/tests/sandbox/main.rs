//! What a sandbox is to its processes: its routes, its interfaces, its settings. Over real daemons, and told by the
//! kernel's own tools; each test has a lab of one host.

mod connect;
mod gateway;
mod given;
mod inside;
#[path = "../support/words.rs"]
mod words;

use self::words::{exec, ok, refused};
use anyhow::{Context as _, Result};
use testbed::Host;

/// The text at `pointer` (RFC 6901) of what `netctl` prints as JSON.
fn field(host: &Host, words: &str, pointer: &str) -> Result<String> {
    let text = ok(host, words)?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let found = value.pointer(pointer).with_context(|| format!("no {pointer} in {text}"))?;
    Ok(found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned))
}
