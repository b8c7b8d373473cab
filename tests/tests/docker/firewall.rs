//! Networks of `netctl network create` on hosts where an engine has its own mind about what is forwarded.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{
    Engine, EngineOptions, Families, Host, IMAGE, Lab, Netns, Options, Signal, eventually,
};

use crate::who::{By, Who, ask, nobody};

/// How long netctl may take to see what others did.
const SOON: Duration = Duration::from_secs(10);

/// A sandbox with the service `NAME.dev`, as a namespace.
fn container(lab: &Lab, host: &Host, name: &str, ports: &[&str]) -> Result<Netns> {
    let (sandbox, service) = (format!("box-{name}"), format!("{name}.dev"));
    host.ok(["sandbox", "create", &sandbox])?;
    host.ok(["service", "publish"].iter().chain(ports).chain(&[service.as_str()]))?;
    host.ok(["service", "attach", &sandbox, &service])?;
    let text = host.ok(["sandbox", "inspect", &sandbox])?;
    let view: serde_json::Value = serde_json::from_str(&text)?;
    let path = view.pointer("/0/netns").and_then(|path| path.as_str()).context("no namespace")?;
    Ok(Netns::open(lab.dir(), path.as_ref()))
}

fn sees(from: &Netns, to: &str, port: u16, name: &str) -> Result<()> {
    for by in [By::Tcp, By::Udp] {
        let (who, _) = ask(from, by, to, port)?;
        ensure!(who == name, "{who} answers at {to}:{port} by {by:?}");
    }
    Ok(())
}

/// What `iptables -S` prints of the filter, but for netctl's own.
fn theirs(host: &Host) -> Result<String> {
    let rules = host.run(["iptables", "-S"])?.ok()?;
    Ok(rules.lines().filter(|line| !line.contains("nh-+")).collect::<Vec<_>>().join("\n"))
}

/// netctl's own rules there.
fn ours(host: &Host, iptables: &str) -> Result<Vec<String>> {
    let rules = host.run([iptables, "-S", "FORWARD"])?.ok()?;
    Ok(rules.lines().filter(|line| line.contains("nh-+")).map(ToOwned::to_owned).collect())
}

/// ```text
///   h1, with an engine: box-web, port 8080 ─┐
///   h2:                 box-far ────────────┴─ network dev        external
/// ```
#[test]
fn a_network_is_open_where_an_engine_drops_what_is_forwarded() -> Result<()> {
    let lab = Lab::start(Options { families: Families::Both, ..Options::default() })?;
    let played = (|| {
        let (h1, h2, external) = (lab.host(1), lab.host(2), lab.external());
        let engine = Engine::start(h1.netns(), EngineOptions::default())?;
        let policy = h1.run(["iptables", "-S", "FORWARD"])?.ok()?;
        ensure!(policy.contains("-P FORWARD DROP"), "the engine lets everything through: {policy}");
        h1.run(["ip6tables", "-P", "FORWARD", "DROP"])?.ok()?;
        h1.netns().set_sysctl("net/bridge/bridge-nf-call-iptables", "1")?;
        let before = theirs(h1)?;

        h1.ok(["network", "create", "--ipv6", "dev"])?;
        let web = container(&lab, h1, "web", &["-p", "8080:80/tcp", "-p", "8080:80/udp"])?;
        let far = container(&lab, h2, "far", &[])?;
        let _servers = [
            Who::start(&web, "web", 80)?,
            Who::start(external.netns(), "external", 99)?,
            Who::start(&far, "far", 80)?,
        ];
        let address = |service: &str, at: &str| -> Result<String> {
            let view: serde_json::Value =
                serde_json::from_str(&h1.ok(["service", "inspect", service])?)?;
            let net = view.pointer(at).and_then(|net| net.as_str()).context("no address")?;
            Ok(net.split('/').next().unwrap_or_default().to_owned())
        };
        let (far4, far6) =
            (address("far.dev", "/0/addresses/0")?, address("far.dev", "/0/addresses/1")?);
        let works = || {
            for (theirs, ours) in
                [(external.address(), h1.address()), (external.address6(), h1.address6())]
            {
                sees(&web, &theirs, 99, "external")?;
                sees(external.netns(), &ours, 8080, "web")?;
                sees(h2.netns(), &ours, 8080, "web")?;
                sees(&far, &ours, 8080, "web")?;
            }
            sees(&web, &far4, 80, "far")?;
            sees(&web, &far6, 80, "far")
        };
        eventually("all ways are open", SOON, works)?;
        ensure!(theirs(h1)? == before, "{before}\n{}", theirs(h1)?);

        // Whatever is done to the rules, by the engine or by others.
        engine.restart(Signal::SIGTERM)?;
        eventually("all ways are open after the engine's restart", SOON, works)?;
        engine.ok(["network", "create", "theirs"])?;
        engine.ok(["network", "rm", "theirs"])?;
        works()?;
        for damage in ["iptables -F FORWARD", "iptables -D FORWARD RULE", "nft flush ruleset"] {
            let rules = h1.run(["iptables", "-S", "FORWARD"])?.ok()?;
            // The policy is line 0, so the place of a line is the number of its rule.
            let rule = rules.lines().position(|line| line.contains("-i nh-+ -m"));
            let damage = damage.replace("RULE", &rule.context("no rule of ours")?.to_string());
            h1.run(damage.split(' '))?.ok()?;
            eventually(&format!("all ways are open after {damage}"), SOON, works)?;
            engine.restart(Signal::SIGKILL)?;
            // An engine says so only where it is the first to have the host forward.
            h1.run(["iptables", "-P", "FORWARD", "DROP"])?.ok()?;
            eventually(&format!("all ways are open after {damage} and a restart"), SOON, works)?;
        }

        // Where nothing is dropped, nothing needs to be let through; nor where there is no network.
        ensure!(!ours(h1, "iptables")?.is_empty());
        h1.run(["iptables", "-P", "FORWARD", "ACCEPT"])?.ok()?;
        eventually("the rules go", SOON, || {
            let left = ours(h1, "iptables")?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })?;
        works()?;
        for policy in ["iptables", "ip6tables"] {
            h1.run([policy, "-P", "FORWARD", "DROP"])?.ok()?;
        }
        eventually("all ways are open again", SOON, works)?;
        let before = theirs(h1)?;
        for (host, name) in [(h1, "web"), (h2, "far")] {
            host.ok(["sandbox", "rm", &format!("box-{name}")])?;
            host.ok(["service", "unpublish", &format!("{name}.dev")])?;
        }
        eventually("the rules go with the last network", SOON, || {
            let left = [ours(h1, "iptables")?, ours(h1, "ip6tables")?].concat();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })?;
        ensure!(theirs(h1)? == before, "{before}\n{}", theirs(h1)?);
        Ok(())
    })();
    played.map_err(|error| lab.explain(error))?;
    lab.end()
}

/// ```text
///   h1: box-web, port 8080, on network dev        one, two: containers on the engine's own bridge; two has port 9090
/// ```
#[test]
fn what_an_engine_says_of_its_containers_holds() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let played = (|| {
        let (host, external) = (lab.host(1), lab.external());
        let engine = Engine::start(host.netns(), EngineOptions::default())?;
        host.ok(["network", "create", "dev"])?;
        let web = container(&lab, host, "web", &["-p", "8080:80/tcp", "-p", "8080:80/udp"])?;
        engine.ok(["run", "-d", "--name", "one", IMAGE])?;
        let ports = ["-p", "9090:80/tcp", "-p", "9090:80/udp"];
        let two = ["run", "-d", "--name", "two"].into_iter().chain(ports).chain([IMAGE]);
        engine.ok(two)?;
        engine.ok(["network", "create", "apart"])?;
        engine.ok(["run", "-d", "--name", "three", "--network", "apart", IMAGE])?;
        let (one, two, three) =
            (engine.netns_of("one")?, engine.netns_of("two")?, engine.netns_of("three")?);
        let _servers = [
            Who::start(&web, "web", 80)?,
            Who::start(&one, "one", 80)?,
            Who::start(&two, "two", 80)?,
            Who::start(&three, "three", 80)?,
        ];
        // Each reaches what the other publishes.
        eventually("the way in is open", SOON, || {
            sees(external.netns(), &host.address(), 8080, "web")
        })?;
        sees(&one, &host.address(), 8080, "web")?;
        sees(external.netns(), &host.address(), 9090, "two")?;
        sees(&web, &host.address(), 9090, "two")?;
        // And nothing else.
        let address = |name: &str| {
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
            engine.ok(["inspect", "-f", format, name])
        };
        let inside = host.ok(["service", "inspect", "web.dev"])?;
        let inside: serde_json::Value = serde_json::from_str(&inside)?;
        let inside =
            inside.pointer("/0/addresses/0").and_then(|net| net.as_str()).context("none")?;
        let inside = inside.split('/').next().unwrap_or_default();
        for by in [By::Tcp, By::Udp] {
            nobody(&web, by, &address("one")?, 80)?;
            nobody(&web, by, &address("three")?, 80)?;
            nobody(&one, by, inside, 80)?;
        }
        // What somebody has forbidden where Docker lets him is forbidden for networks of netctl too.
        let rule = ["DOCKER-USER", "-i", "eth0", "-s", &external.address(), "-j", "DROP"];
        host.run(["iptables", "-I"].iter().chain(&rule))?.ok()?;
        for by in [By::Tcp, By::Udp] {
            nobody(external.netns(), by, &host.address(), 8080)?;
        }
        host.run(["iptables", "-D"].iter().chain(&rule))?.ok()?;
        sees(external.netns(), &host.address(), 8080, "web")
    })();
    played.map_err(|error| lab.explain(error))?;
    lab.end()
}
