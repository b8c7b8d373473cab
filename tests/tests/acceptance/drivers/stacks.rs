//! Networks without packets of ours: the host's own stack, and nothing.

use anyhow::{Result, ensure};
use testbed::{Lab, Signal};

use crate::stage::{json, names, refused};

on_both_stores! {
    the_host_and_nothing on 2;
}

/// ```text
///   h1: sandbox all ─── network stack, host        sandbox none ─── network void, null
///   h2: sandbox all ─── network stack, host
/// ```
fn the_host_and_nothing(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let own = |host: &testbed::Host| host.run(["readlink", "/proc/self/ns/net"])?.ok();
    for host in [h1, h2] {
        let inside = host.ok([
            "run",
            "--name",
            "all",
            "--publish-service",
            "web.stack.host",
            "readlink",
            "/proc/self/ns/net",
        ])?;
        ensure!(inside == own(host)?, "not the host's namespace: {inside}");
    }
    // All that the host has, and none of netctl's.
    ensure!(h1.ok(["exec", "all", "ip", "-br", "addr"])?.contains(&h1.address()));
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        ensure!(h1.ok(["exec", "all", "cat", file])? == h1.run(["cat", file])?.ok()?, "{file}");
    }
    let shown = json(h1, &["service", "inspect", "web.stack"])?;
    ensure!(
        shown[0]["addresses"].as_array().is_some_and(Vec::is_empty) && shown[0]["mac"].is_null()
    );

    let nothing =
        ["run", "--name", "none", "--publish-service", "web.void.null", "ip", "-br", "link"];
    let links = h1.ok(nothing)?;
    ensure!(links.lines().count() == 1 && links.starts_with("lo "), "{links}");
    for (driver, network) in [("host", "stack"), ("null", "void")] {
        refused(
            h1,
            &["network", "create", "-d", driver, "second"],
            &[&format!("host h1 has network {network} of driver {driver} already")],
        )?;
    }

    // The host's stack joins nothing else, and nothing else is the host's stack.
    h1.ok(["network", "create", "dev"])?;
    h1.ok(["service", "publish", "a.dev"])?;
    h1.ok(["service", "publish", "db.stack"])?;
    refused(
        h1,
        &["service", "attach", "all", "a.dev"],
        &["sandbox all is the host's own network stack, which joins no other network"],
    )?;
    refused(
        h1,
        &["service", "attach", "none", "db.stack"],
        &["service db.stack is for the host's own network stack, which sandbox none is not"],
    )?;
    refused(
        h1,
        &["run", "--publish-service", "b.dev", "--publish-service", "c.stack", "true"],
        &["which joins no other network: attach service b.dev to another sandbox"],
    )?;
    let dir = h1.dir("netns");
    let mut namespaces = std::fs::read_dir(&dir)?.collect::<std::io::Result<Vec<_>>>()?;
    // Their names are links. The host's own is bound like any other.
    namespaces.retain(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    ensure!(namespaces.len() == 2, "{namespaces:?}");
    let path = format!("/proc/{}/ns/net", h1.daemon_pid().unwrap_or_default());
    h1.ok(["sandbox", "create", "--netns", &path, "given"])?;
    h1.ok(["service", "attach", "given", "db.stack"])?;
    h1.ok(["sandbox", "create", "--host", "asked"])?;
    h1.ok(["sandbox", "rm", "asked"])?;
    ensure!(names(h1, "service")? == ["a", "db", "web", "web"]);

    lab.restart_daemon(h1, Signal::SIGKILL)?;
    ensure!(h1.ok(["exec", "all", "readlink", "/proc/self/ns/net"])? == own(h1)?);
    ensure!(h1.ok(["exec", "none", "ip", "-br", "link"])? == links);
    h1.ok(["sandbox", "rm", "all", "none"])?;
    ensure!(h1.run(["ip", "-br", "addr"])?.ok()?.contains(&h1.address()), "the host lost its own");
    refused(h1, &["network", "rm", "stack"], &["network stack has 1 service (db)"])?;
    Ok(())
}
