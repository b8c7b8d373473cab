//! The way out of a sandbox in several networks.

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Options, Signal};

/// The default routes that a sandbox has: gateway and device of each, IPv4 first.
fn defaults(host: &Host, sandbox: &str) -> Result<Vec<String>> {
    let mut routes = Vec::new();
    for family in ["-4", "-6"] {
        let text = host.ok(["exec", sandbox, "--", "ip", family, "route", "show", "default"])?;
        routes.extend(text.lines().map(|line| {
            let word = |name: &str| line.split(' ').skip_while(|word| *word != name).nth(1);
            format!("{} {}", word("via").unwrap_or("-"), word("dev").unwrap_or("-"))
        }));
    }
    Ok(routes)
}

/// ```text
///   h1: box ─ a 10.71.0.0/24 ─ b 10.72.0.0/24 ─ six 10.73.0.0/24 and fd73::/64 ─ shut, internal
/// ```
#[test]
fn the_default_route_follows_what_is_attached() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network create --subnet 10.71.0.0/24 a",
        "network create --subnet 10.72.0.0/24 b",
        "network create --subnet 10.73.0.0/24 --subnet fd73::/64 six",
        "network create --subnet 10.74.0.0/24 --subnet fd74::/64 --internal shut",
        "service publish s.a",
        "service publish s.b",
        "service publish s.six",
        "service publish s.shut",
        "sandbox create box",
    ] {
        host.ok(words.split(' '))?;
    }
    let (a, b) = ("10.71.0.1", "10.72.0.1");
    // What is done, and who is the gateway then: `eth` and its number follow from the order of attaching.
    let steps: &[(&str, &[&str])] = &[
        ("attach box s.shut", &[]),
        ("attach box s.b", &[&format!("{b} eth1")]),
        ("attach box s.a", &[&format!("{a} eth2")]),
        ("detach box s.a", &[&format!("{b} eth1")]),
        ("attach --gw-priority -1 box s.a", &[&format!("{b} eth1")]),
        ("detach box s.b", &[&format!("{a} eth2")]),
        ("attach box s.six", &["10.73.0.1 eth1", "fd73::1 eth1"]),
        ("attach --gw-priority 10 box s.b", &[&format!("{b} eth3"), "fd73::1 eth1"]),
        ("detach box s.six", &[&format!("{b} eth3")]),
        ("detach box s.b", &[&format!("{a} eth2")]),
        ("detach box s.a", &[]),
    ];
    for (step, expected) in steps {
        host.ok(["service"].into_iter().chain(step.split(' ')))?;
        let found = defaults(host, "box")?;
        ensure!(found == *expected, "after `{step}`: {found:?}, not {expected:?}");
    }

    // What a person put there stays, and goes before ours; ours comes back when theirs goes.
    host.ok(["service", "attach", "box", "s.a"])?;
    let ip = |words: &str| -> Result<()> {
        let words = ["exec", "box", "--", "ip"].into_iter().chain(words.split(' '));
        host.ok(words).map(drop)
    };
    ip("link add stub type veth peer name other")?;
    ip("link set other up")?;
    ip("link set stub up")?;
    ip("route replace default dev stub")?;
    host.ok(["service", "attach", "box", "s.b"])?;
    ensure!(defaults(host, "box")? == ["- stub"], "{:?}", defaults(host, "box")?);
    ip("route add 198.51.100.0/24 dev stub")?;
    ip("route del default dev stub")?;
    lab.restart_daemon(host, Signal::SIGKILL)?;
    testbed::eventually("the way out is mended", std::time::Duration::from_secs(5), || {
        let found = defaults(host, "box")?;
        ensure!(found == [format!("{a} eth1")], "{found:?}");
        Ok(())
    })?;
    let kept = host.ok(["exec", "box", "--", "ip", "route", "show", "198.51.100.0/24"])?;
    ensure!(kept.contains("dev stub"), "a route of others is gone: {kept}");
    lab.end()
}
