//! What a sandbox is to its processes: its routes, its interfaces, its settings. Over real daemons, and told by the
//! kernel's own tools; each test has a lab of one host.

mod connect;
mod gateway;
mod given;
mod inside;

use anyhow::{Context as _, Result, anyhow};
use testbed::{Host, Output};

/// Runs `netctl` with these words, which must succeed, and gives its stdout.
fn ok(host: &Host, words: &str) -> Result<String> {
    host.ok(words.split(' '))
}

/// Runs a command in a sandbox, which must succeed, and gives its stdout.
fn exec(host: &Host, sandbox: &str, words: &str) -> Result<String> {
    host.ok(["exec", sandbox, "--"].into_iter().chain(words.split(' ')))
}

/// Fails unless `netctl` refuses these words with just that sentence.
fn refused(host: &Host, words: &str, sentence: &str) -> Result<()> {
    let output = host.netctl(words.split(' '))?;
    let Output { stdout, stderr, .. } = &output;
    let right =
        output.code() == 1 && stdout.is_empty() && *stderr == format!("error: {sentence}\n");
    right.then_some(()).ok_or_else(|| anyhow!("expected {sentence:?}: {output:?}"))
}

/// The text at `pointer` (RFC 6901) of what `netctl` prints as JSON.
fn field(host: &Host, words: &str, pointer: &str) -> Result<String> {
    let text = ok(host, words)?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let found = value.pointer(pointer).with_context(|| format!("no {pointer} in {text}"))?;
    Ok(found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned))
}
