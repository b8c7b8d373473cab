//! `netctl` by the words of a command line.

use anyhow::{Result, anyhow};
use testbed::{Host, Output};

/// Runs `netctl` with these words, which must succeed, and gives its stdout.
pub(crate) fn ok(host: &Host, words: &str) -> Result<String> {
    host.ok(words.split(' '))
}

/// Runs a command in a sandbox, which must succeed, and gives its stdout.
pub(crate) fn exec(host: &Host, sandbox: &str, words: &str) -> Result<String> {
    host.ok(["exec", sandbox, "--"].into_iter().chain(words.split(' ')))
}

/// Fails unless `netctl` refuses these words with just that sentence.
pub(crate) fn refused(host: &Host, words: &str, sentence: &str) -> Result<()> {
    let output = host.netctl(words.split(' '))?;
    let Output { stdout, stderr, .. } = &output;
    let right =
        output.code() == 1 && stdout.is_empty() && *stderr == format!("error: {sentence}\n");
    right.then_some(()).ok_or_else(|| anyhow!("expected {sentence:?}: {output:?}"))
}
