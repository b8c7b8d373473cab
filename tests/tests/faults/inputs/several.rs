//! Several names at once, of which some fail: the others are done, each failure is told, and the exit code says so.

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Options};

/// Runs `netctl` with these words, of which some fail: what is printed is what was done, then why the rest was not.
fn partly(host: &Host, words: &str, done: &str, failures: &[&str]) -> Result<()> {
    let output = host.netctl(words.split(' '))?;
    let said: Vec<&str> = output.stderr.lines().collect();
    let expected: Vec<String> = failures.iter().map(|why| format!("error: {why}")).collect();
    ensure!(
        output.code() == 1 && output.stdout == done && said == expected,
        "{output:?}, not {done:?} and {expected:?}"
    );
    Ok(())
}

#[test]
fn what_fails_keeps_no_other_from_being_done() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network create -d overlay dev",
        "network create -d overlay a",
        "network create -d overlay b",
        "service publish web.dev",
        "service publish one.dev",
        "service publish two.dev",
        "service publish three.dev",
        "sandbox create box",
        "sandbox create s1",
        "sandbox create s2",
        "service attach box web.dev",
        "service attach box one.dev",
    ] {
        host.ok(words.split(' '))?;
    }
    partly(
        host,
        "service detach box one.dev two.dev nothing.dev web.dev",
        "one.dev\nweb.dev\n",
        &[
            "service two.dev is not attached to sandbox box",
            "there is no service nothing on network dev: see `netctl service ls`",
        ],
    )?;
    host.ok(["service", "attach", "box", "web.dev"])?;
    let id = host.ok(["sandbox", "ls", "-q"])?;
    ensure!(id.lines().count() == 3, "{id}");
    let record: serde_json::Value = serde_json::from_str(&host.ok(["sandbox", "inspect", "box"])?)?;
    let owner = &record[0]["id"].as_str().unwrap_or_default()[..12];
    partly(
        host,
        "service unpublish one.dev web.dev two.dev",
        "one.dev\ntwo.dev\n",
        &[&format!(
            "service web.dev is attached to sandbox {owner} on host h1: detach it first, or use --force"
        )],
    )?;
    partly(
        host,
        "network rm a dev nothing b",
        "a\nb\n",
        &[
            "network dev has 2 services (three, web): unpublish first",
            "there is no network nothing: see `netctl network ls`",
        ],
    )?;
    partly(
        host,
        "sandbox rm s1 nothing s2",
        "s1\ns2\n",
        &["there is no sandbox nothing on this host: see `netctl sandbox ls`"],
    )?;
    let (networks, sandboxes) =
        (host.ok(["network", "ls", "-q"])?, host.ok(["sandbox", "ls", "-q"])?);
    ensure!(networks.lines().count() == 1 && sandboxes.lines().count() == 1);
    // Where none fails, the code is 0; pruning takes what is used by nobody.
    host.ok(["network", "create", "c"])?;
    ensure!(host.ok(["network", "prune"])? == "c\n");
    ensure!(host.ok(["sandbox", "rm", "box"])? == "box\n");
    ensure!(host.ok(["service", "unpublish", "web.dev", "three.dev"])? == "web.dev\nthree.dev\n");
    ensure!(host.ok(["network", "rm", "dev"])? == "dev\n");
    lab.end()
}
