//! The kernel's verbs, each looked at with the system's own tools. Root only; every namespace is the test's own.

#![expect(clippy::unwrap_used, reason = "what a test does not expect is its failure")]

mod bridge;
mod command;
mod flows;
mod links;
mod netns;
mod nft;
mod underlay;
mod vxlan;
mod way;

use std::process::Command;

use netctl::kernel::{Netlink, Netns};
use serde_json::Value;

/// A namespace that no other test knows, and its verbs.
async fn host() -> (Netns, Netlink) {
    let netns = Netns::detached().await.expect("root is needed");
    let netlink = Netlink::open(&netns).await.unwrap();
    (netns, netlink)
}

/// What a command prints, run in `netns` (a child has the namespace of the thread that starts it).
fn sh(netns: &Netns, line: &str) -> String {
    let output =
        netns.run_blocking(|| Command::new("sh").args(["-ec", line]).output().unwrap()).unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `ip -json <arguments>` prints.
fn ip(netns: &Netns, arguments: &str) -> Value {
    let text = sh(netns, &format!("ip -json -details {arguments}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments}: {e}: {text}"))
}
