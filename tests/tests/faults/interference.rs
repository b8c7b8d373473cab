//! Others who meddle with what netctl made: it is mended, and nobody else is harmed.
//!
//! ```text
//!   h1: box1 (a.dev 10.83.0.2), box2 (b.dev 10.83.0.3)      h2: box3 (c.dev 10.83.0.4)
//! ```

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, umount2};
use testbed::{Host, Lab, Options, Signal, eventually};

use crate::state;

/// Within which the reconcile loop looks at everything by itself, and a little more.
const MENDED: Duration = Duration::from_secs(40);

fn lab() -> Result<Lab> {
    let lab = Lab::start(Options::default())?;
    lab.host(1).ok(["network", "create", "--subnet", "10.83.0.0/24", "dev"])?;
    for (host, name, service) in [(1, "box1", "a.dev"), (1, "box2", "b.dev"), (2, "box3", "c.dev")]
    {
        lab.host(host).ok(["run", "--name", name, "--publish-service", service, "true"])?;
    }
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    Ok(lab)
}

fn reaches(host: &Host, sandbox: &str, name: &str) -> Result<()> {
    host.run(["netctl", "exec", sandbox, "ping", "-c", "1", "-W", "1", name])?.ok().map(drop)
}

/// The name of the host's side of a service's interface.
fn port(host: &Host, service: &str) -> Result<String> {
    let text = host.ok(["service", "inspect", service])?;
    let view: serde_json::Value = serde_json::from_str(&text)?;
    Ok(format!("nc{}", &view[0]["id"].as_str().unwrap_or_default()[..12]))
}

#[test]
fn what_others_break_is_mended() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    // A ping between those who are left alone, all the while.
    let mut bystander = h2.spawn(
        "bystander",
        ["netctl", "exec", "box3", "ping", "-i", "0.1", "-W", "1", "-c", "600", "10.83.0.3"],
    )?;
    let (veth, gone) = (port(h1, "a.dev")?, port(h2, "c.dev")?);
    ensure!(veth != gone, "two services have one port");
    h1.netns().ip([format!("link del {veth}")])?;
    eventually("a deleted interface is back", MENDED, || {
        reaches(h2, "box3", "a")?;
        state::check(&lab)
    })?;
    bystander.signal(Signal::SIGINT)?;
    bystander.wait(Duration::from_secs(5))?;
    let said = bystander.log();
    ensure!(said.contains(" 0% packet loss"), "the bystander lost packets: {said}");

    // All at once: an address inside, an interface set down, the host endpoint.
    let netns = h1.ok(["sandbox", "inspect", "box1"])?;
    let netns: serde_json::Value = serde_json::from_str(&netns)?;
    let netns = format!("--net={}", netns[0]["netns"].as_str().unwrap_or_default());
    h1.run(["nsenter", &netns, "ip", "addr", "del", "10.83.0.2/24", "dev", "eth0"])?.ok()?;
    h1.netns().ip([format!("link set {} down", port(h1, "b.dev")?)])?;
    let gateway = state::links(h1)?.into_iter().find(|name| name.starts_with("nh-"));
    h1.netns().ip([format!("link del {}", gateway.unwrap_or_default())])?;
    eventually("all of it is mended", MENDED, || {
        reaches(h2, "box3", "a")?;
        reaches(h2, "box3", "b")?;
        // Names are served on the host endpoint.
        reaches(h1, "box1", "c")?;
        state::check(&lab)
    })?;
    lab.end()
}

/// However long that lasts, and whichever of the others are broken.
#[test]
fn what_others_break_is_mended_though_something_else_cannot_be() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let others = ["d", "e", "f", "g", "h"];
    for name in others {
        let (sandbox, service) = (format!("box-{name}"), format!("{name}.dev"));
        h1.ok(["run", "--name", &sandbox, "--publish-service", &service, "true"])?;
    }
    let said = h1.log().len();
    forget_namespace(h1, "box2")?;
    eventually("what cannot be mended is said", MENDED, || {
        ensure!(h1.log()[said..].contains("not joined"), "nothing is said");
        Ok(())
    })?;
    for name in others {
        h1.netns().ip([format!("link set {} down", port(h1, &format!("{name}.dev"))?)])?;
    }
    eventually("the others are up", MENDED * 3, || {
        others.iter().try_for_each(|name| reaches(h2, "box3", name))
    })?;
    h1.ok(["sandbox", "rm", "box2"])?;
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    lab.end()
}

/// Takes a sandbox's namespace away, and says where it was.
fn forget_namespace(host: &Host, sandbox: &str) -> Result<String> {
    let view: serde_json::Value = serde_json::from_str(&host.ok(["sandbox", "inspect", sandbox])?)?;
    let netns = view[0]["netns"].as_str().unwrap_or_default().to_owned();
    umount2(netns.as_str(), MntFlags::MNT_DETACH)?;
    fs::remove_file(&netns)?;
    Ok(netns)
}

#[test]
fn a_sandbox_without_its_namespace_can_be_removed() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let netns = forget_namespace(h1, "box1")?;
    let output = h1.netctl(["exec", "box1", "true"])?;
    assert_eq!(
        (output.code(), output.stderr),
        (1, format!("error: there is no network namespace at {netns}: nothing is there\n"))
    );
    // The others go on, and so do operations.
    reaches(h2, "box3", "b")?;
    h1.ok(["run", "--name", "box4", "--publish-service", "d.dev", "true"])?;
    reaches(h2, "box3", "d")?;
    h1.ok(["sandbox", "rm", "box1"])?;
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    // The same, found by a daemon at its start: it takes the sandbox down.
    let view: serde_json::Value = serde_json::from_str(&h1.ok(["sandbox", "inspect", "box2"])?)?;
    umount2(view[0]["netns"].as_str().unwrap_or_default(), MntFlags::MNT_DETACH)?;
    lab.restart_daemon(h1, Signal::SIGTERM)?;
    eventually("all agrees", Duration::from_secs(10), || {
        ensure!(!h1.ok(["sandbox", "ls"])?.contains("box2"), "box2 is still there");
        state::check(&lab)
    })?;
    reaches(h2, "box3", "d")?;
    lab.end()
}

#[test]
fn the_underlays_mtu_is_followed() -> Result<()> {
    let lab = lab()?;
    for (underlay, inner) in [(1400, 1350), (1500, 1450)] {
        for host in lab.hosts() {
            host.netns().ip([format!("link set eth0 mtu {underlay}")])?;
        }
        eventually("both hosts follow", Duration::from_secs(5), || {
            for (host, sandbox) in [(1, "box1"), (1, "box2"), (2, "box3")] {
                let words = ["netctl", "exec", sandbox, "ip", "-o", "link", "show", "eth0"];
                let link = lab.host(host).run(words)?.ok()?;
                ensure!(link.contains(&format!(" mtu {inner} ")), "{link}");
            }
            // IPv4 and ICMP headers are 28 bytes; it is not to be sent in fragments.
            let size = (inner - 28).to_string();
            let ping = ["ping", "-M", "do", "-s", &size, "-c", "1", "-W", "1", "a"];
            let words = ["netctl", "exec", "box3"].into_iter().chain(ping);
            lab.host(2).run(words)?.ok()?;
            state::check(&lab)
        })?;
        let status = lab.host(1).ok(["status"])?;
        ensure!(status.contains(&format!("mtu {underlay}")), "{status}");
    }
    lab.end()
}
