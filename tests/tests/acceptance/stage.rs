//! One scenario in a lab of its own, from the first daemon to the proof that nothing is left.

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use testbed::{Host, Lab, Options, Output};

use crate::rest;

/// Makes two tests of each function: `NAME::file` and `NAME::etcd`. The underlay is IPv4, or what stands behind `over`.
macro_rules! on_both_stores {
    ($($scenario:ident on $hosts:literal $(over $families:ident)?;)+) => {$(
        mod $scenario {
            use anyhow::Result;
            use testbed::{Options, Store};

            fn options(store: Store) -> Options {
                Options {
                    hosts: $hosts,
                    store,
                    $(families: testbed::Families::$families,)?
                    ..Options::default()
                }
            }

            #[test]
            fn file() -> Result<()> {
                crate::stage::play(options(Store::File), super::$scenario)
            }

            #[test]
            fn etcd() -> Result<()> {
                crate::stage::play(options(Store::Etcd), super::$scenario)
            }
        }
    )+};
}

/// Plays `scenario` in a lab of its own, then removes all that it made, and fails where something is left.
pub(crate) fn play(options: Options, scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::start(options)?;
    let played = scenario(&lab).and_then(|()| rest::clear(&lab)).and_then(|()| rest::check(&lab));
    let maps = played.map_err(|error| lab.explain(error))?;
    lab.end()?;
    rest::unloaded(&maps)
}

/// What `netctl` prints as JSON.
pub(crate) fn json(host: &Host, words: &[&str]) -> Result<Value> {
    let text = host.ok(words.iter().copied().chain(["--format", "json"]))?;
    serde_json::from_str(&text).with_context(|| format!("netctl {}: {text}", words.join(" ")))
}

/// The text at `pointer` (RFC 6901) in what `netctl` prints as JSON.
pub(crate) fn field(host: &Host, words: &[&str], pointer: &str) -> Result<String> {
    let value = json(host, words)?;
    let found = value.pointer(pointer).with_context(|| format!("no {pointer} in {value}"))?;
    Ok(found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned))
}

/// The first column of what `netctl ... ls -q` prints in words of names: sorted names of what `noun` lists.
pub(crate) fn names(host: &Host, noun: &str) -> Result<Vec<String>> {
    let listed = json(host, &[noun, "ls"])?;
    let name = |item: &Value| Some(item.get("name")?.as_str()?.to_owned());
    let names: Option<Vec<_>> = listed.as_array().and_then(|all| all.iter().map(name).collect());
    let mut names = names.with_context(|| format!("unexpected: {listed}"))?;
    names.sort();
    Ok(names)
}

/// Runs `netctl` and fails unless it fails as a request does: exit code 1, and one sentence with all of `parts` in it.
pub(crate) fn refused(host: &Host, words: &[&str], parts: &[&str]) -> Result<()> {
    let output = host.netctl(words)?;
    let Output { stdout, stderr, .. } = &output;
    let right = output.code() == 1
        && (stdout.is_empty() || (words.contains(&"inspect") && stdout == "[]\n"))
        && stderr.trim_end().lines().count() == 1
        && parts.iter().all(|part| stderr.contains(part));
    right.then_some(()).ok_or_else(|| {
        anyhow!(
            "`{}` on {}: expected a refusal with {parts:?}: {output:?}",
            output.command,
            host.name()
        )
    })
}
