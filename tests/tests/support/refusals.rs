//! What is asked that cannot be: a table of it.

use anyhow::{Result, ensure};
use testbed::Host;

/// Fails unless `netctl` refuses `command` with each of these words behind it: by this exit code, with this in its
/// sentence, and without having begun.
pub(crate) fn refused(host: &Host, command: &str, cases: &[(&str, i32, &str)]) -> Result<()> {
    for (words, code, said) in cases {
        let output = host.netctl(command.split(' ').chain(words.split(' ')))?;
        let begins = output.stderr.starts_with("error: ") && output.stdout.is_empty();
        let right = output.code() == *code && output.stderr.contains(said);
        ensure!(begins && right, "{words}: expected {code}, {said:?}: {output:?}");
    }
    Ok(())
}
