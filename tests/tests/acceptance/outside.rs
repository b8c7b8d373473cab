//! The way out of a network, and in by its published ports.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Netns, Signal, eventually};

use crate::{
    container::{Container, SOON},
    who::{By, Who, ask, ask_from, nobody, udp_socket},
};

on_both_stores! {
    containers_reach_the_outside_and_are_reached on 1;
    nobody_is_let_in_by_another_way on 1;
    what_others_do_to_the_packet_filter_is_mended on 1;
    a_restart_of_the_daemon_interrupts_nothing on 1;
    what_stands_goes_on_where_nft_fails on 1;
    published_on_the_host_of_the_service on 2;
    both_families_go_out_and_come_in on 1 over Both;
    networks_that_the_outside_has_routes_to on 1;
}

const BOTH: [By; 2] = [By::Tcp, By::Udp];

/// Fails unless `name` answers, and sees `seen` as the source.
fn sees(from: &Netns, to: (&str, u16), name: &str, seen: &str) -> Result<()> {
    for by in BOTH {
        let (who, address) = ask(from, by, to.0, to.1)?;
        ensure!(who == name && address == seen.parse::<IpAddr>()?, "{by:?}: {who} saw {address}");
    }
    Ok(())
}

fn publish(port: &str) -> Vec<String> {
    ["tcp", "udp"].iter().flat_map(|proto| ["-p".to_owned(), format!("{port}/{proto}")]).collect()
}

fn published<'a>(
    host: &'a Host,
    name: &str,
    network: &str,
    ports: &[&str],
) -> Result<Container<'a>> {
    let words: Vec<String> = ports.iter().flat_map(|port| publish(port)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Container::new(host, name, network, &words)
}

/// ```text
///   h1: box-web, box-near ─ network dev (bridge)        external: 192.0.2.254
///       box-far ─ network other (overlay)
/// ```
fn containers_reach_the_outside_and_are_reached(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    host.ok(["network", "create", "-d", "bridge", "dev"])?;
    host.ok(["network", "create", "other"])?;
    host.netns().ip(["addr add 192.0.2.101/24 dev eth0"])?;
    let web =
        published(host, "web", "dev", &["8080:80", "9000-9002:9000-9002", "192.0.2.1:7000:80"])?;
    let near = Container::new(host, "near", "dev", &[])?;
    let far = Container::new(host, "far", "other", &[])?;
    let inside = web.netns(lab)?;
    let _servers = [
        Who::start(&inside, "web", 80)?,
        Who::start(&inside, "web", 9001)?,
        Who::start(external.netns(), "external", 99)?,
    ];

    // Out: as the host. In: as whoever it is.
    for container in [&web, &near, &far] {
        sees(&container.netns(lab)?, (&external.address(), 99), "external", &host.address())?;
    }
    for port in [8080, 9001, 7000] {
        sees(external.netns(), (&host.address(), port), "web", &external.address())?;
    }
    sees(external.netns(), ("192.0.2.101", 8080), "web", &external.address())?;
    for by in BOTH {
        nobody(external.netns(), by, "192.0.2.101", 7000)?;
        nobody(external.netns(), by, &host.address(), 80)?;
    }

    // From the host itself, also by its loopback, which the reply has to find back to.
    let gateway = gateway(host, "dev")?;
    sees(host.netns(), (&host.address(), 8080), "web", &host.address())?;
    sees(host.netns(), ("127.0.0.1", 8080), "web", &gateway)?;
    // From others in its network, and from itself, the reply would go another way.
    for container in [&web, &near] {
        sees(&container.netns(lab)?, (&host.address(), 8080), "web", &gateway)?;
    }
    sees(&far.netns(lab)?, (&host.address(), 8080), "web", &far.address()?)?;
    sees(&near.netns(lab)?, (&web.address()?, 80), "web", &near.address()?)?;

    // A flow goes on with who has the port now, though its packets never cease.
    let target: SocketAddr = (host.address().parse::<IpAddr>()?, 8080).into();
    let flow = external.netns().within(|| udp_socket(target))?;
    ensure!(ask_from(&flow, target)?.starts_with("web "));
    host.ok(["service", "unpublish", "-f", "web.dev"])?;
    ensure!(ask_from(&flow, target).is_err(), "nobody has the port");
    let heir = published(host, "heir", "dev", &["8080:80"])?;
    let _server = Who::start(&heir.netns(lab)?, "heir", 80)?;
    ensure!(ask_from(&flow, target)?.starts_with("heir "), "the flow still goes to who had it");
    sees(external.netns(), (&host.address(), 8080), "heir", &external.address())
}

fn gateway(host: &Host, network: &str) -> Result<String> {
    crate::stage::field(host, &["network", "inspect", network], "/0/subnets/0/gateway")
}

/// ```text
///   behind (198.51.100.2) ─ h1, which is no router ─ underlay ─ external
///                           └─ networks dev, other, and shut, which is internal
/// ```
fn nobody_is_let_in_by_another_way(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    let behind = Netns::new(lab.dir(), "behind")?;
    host.netns().ip([
        "link add behind type veth peer name eth0 netns behind"
            .replace("netns behind", &format!("netns {}", behind.path().display())),
        "addr add 198.51.100.1/24 dev behind".to_owned(),
        "link set behind up".to_owned(),
    ])?;
    behind.ip([
        "addr add 198.51.100.2/24 dev eth0",
        "link set eth0 up",
        "route add default via 198.51.100.1",
    ])?;
    let route = |to: &str| format!("route add {to} via {}", host.address());
    external.netns().ip([route("198.51.100.0/24"), route("10.0.0.0/8")])?;
    let _server = Who::start(&behind, "behind", 99)?;
    nobody(external.netns(), By::Udp, "198.51.100.2", 99)?;

    for network in [&["dev"][..], &["other"], &["--internal", "shut"]] {
        host.ok(["network", "create"].iter().chain(network))?;
    }
    let [dev, other, shut] = ["dev", "other", "shut"]
        .map(|network| Container::new(host, &format!("in-{network}"), network, &[]));
    let (dev, other, shut) = (dev?, other?, shut?);
    let mut servers = Vec::new();
    for container in [&dev, &other, &shut] {
        servers.push(Who::start(&container.netns(lab)?, &container.service, 80)?);
    }
    // What it is connected to is outside too.
    sees(&dev.netns(lab)?, ("198.51.100.2", 99), "behind", "198.51.100.1")?;
    for by in BOTH {
        // Networks have a way out by the host; others have none.
        nobody(external.netns(), by, "198.51.100.2", 99)?;
        for container in [&dev, &other, &shut] {
            nobody(external.netns(), by, &container.address()?, 80)?;
        }
        nobody(&dev.netns(lab)?, by, &other.address()?, 80)?;
        nobody(&other.netns(lab)?, by, &dev.address()?, 80)?;
        nobody(&dev.netns(lab)?, by, &shut.address()?, 80)?;
    }
    shut.ok(&["ip", "route", "add", "default", "via", &gateway(host, "shut")?])?;
    shut.does_not_reach(&external.address())?;
    shut.does_not_reach(&dev.address()?)?;
    // Also where the host begins to forward for somebody else's sake.
    host.netns().set_sysctl("net/ipv4/ip_forward", "1")?;
    shut.does_not_reach(&external.address())?;
    nobody(external.netns(), By::Udp, &dev.address()?, 80)?;
    host.netns().set_sysctl("net/ipv4/ip_forward", "0")?;

    // The host's own loopback is not theirs.
    let _own = Who::start(host.netns(), "host", 99)?;
    dev.ok(&["ip", "route", "add", "127.0.0.9", "via", &gateway(host, "dev")?])?;
    dev.ok(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet"])?;
    dev.ok(&["ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"])?;
    nobody(&dev.netns(lab)?, By::Udp, "127.0.0.9", 99)?;
    drop(servers);
    host.netns().ip(["link del behind"])
}

/// ```text
///   h1: box-web ─ network dev, port 8080        and somebody who reloads a packet filter of his own
/// ```
fn what_others_do_to_the_packet_filter_is_mended(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    host.ok(["network", "create", "dev"])?;
    let theirs = "table ip theirs { chain c { type filter hook input priority 0; policy accept; ip saddr 203.0.113.1 counter drop; }; }";
    host.run(["nft", theirs])?.ok()?;
    let before = host.run(["nft", "list", "table", "ip", "theirs"])?.ok()?;
    let web = published(host, "web", "dev", &["8080:80"])?;
    let _servers =
        [Who::start(&web.netns(lab)?, "web", 80)?, Who::start(external.netns(), "external", 99)?];
    let works = || {
        sees(external.netns(), (&host.address(), 8080), "web", &external.address())?;
        sees(&web.netns(lab)?, (&external.address(), 99), "external", &host.address())
    };
    works()?;
    ensure!(host.run(["nft", "list", "table", "ip", "theirs"])?.ok()? == before, "theirs changed");
    for damage in [
        "flush ruleset",
        "delete table inet netctl",
        "flush chain inet netctl postrouting",
        "delete element inet netctl any4 { tcp . 8080 }",
        "insert rule inet netctl forward drop",
    ] {
        host.run(["nft", damage])?.ok().with_context(|| damage.to_owned())?;
        eventually(&format!("it is mended after {damage}"), SOON, works)?;
        let lent = host.run(["nft", "list", "set", "inet", "netctl", "lent4"])?.ok()?;
        ensure!(lent.contains("{ \"eth0\" }"), "not what is lent is guarded: {lent}");
    }
    host.run(["nft", theirs])?.ok()?;
    host.ok(["sandbox", "rm", "box-web"])?;
    host.ok(["service", "unpublish", "web.dev"])?;
    eventually("only theirs is left", SOON, || {
        let left = host.run(["nft", "list", "ruleset"])?.ok()?;
        ensure!(left == before, "{left}");
        Ok(())
    })?;
    host.run(["nft", "flush ruleset"])?.ok().map(drop)
}

/// ```text
///   h1: box-web ─ network dev, port 8080 ── asked again and again ── external
/// ```
fn a_restart_of_the_daemon_interrupts_nothing(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    host.ok(["network", "create", "dev"])?;
    let web = published(host, "web", "dev", &["8080:80"])?;
    let _servers =
        [Who::start(&web.netns(lab)?, "web", 80)?, Who::start(external.netns(), "external", 99)?];
    let target: SocketAddr = (host.address().parse::<IpAddr>()?, 8080).into();
    let flow = external.netns().within(|| udp_socket(target))?;
    let inside = web.netns(lab)?;
    let table = || host.run(["nft", "list", "table", "inet", "netctl"])?.ok();
    let before = table()?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| lab.restart_daemon(host, signal));
            let mut asked = 0;
            // Old flows and new ones, in and out, each answered at the first try.
            while !restart.is_finished() || asked < 50 {
                ensure!(ask_from(&flow, target)?.starts_with("web "));
                sees(external.netns(), (&host.address(), 8080), "web", &external.address())?;
                sees(&inside, (&external.address(), 99), "external", &host.address())?;
                asked += 1;
            }
            restart.join().map_err(|_panic| anyhow::anyhow!("the restart panicked"))?
        })?;
        let after = table()?;
        ensure!(before == after, "{before}\n{after}");
    }
    Ok(())
}

/// ```text
///   h1: box-web ─ network dev, port 8080 ── external        and an `nft` that does nothing, for a while
/// ```
fn what_stands_goes_on_where_nft_fails(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    host.ok(["network", "create", "dev"])?;
    host.ok(["network", "create", "new"])?;
    let web = published(host, "web", "dev", &["8080:80"])?;
    let _servers =
        [Who::start(&web.netns(lab)?, "web", 80)?, Who::start(external.netns(), "external", 99)?];
    let inside = web.netns(lab)?;
    let works = || {
        sees(external.netns(), (&host.address(), 8080), "web", &external.address())?;
        sees(host.netns(), ("127.0.0.1", 8080), "web", &gateway(host, "dev")?)?;
        sees(&inside, (&external.address(), 99), "external", &host.address())
    };
    works()?;
    // The daemon finds this one first.
    let broken = lab.dir().join("bin/nft");
    std::fs::write(&broken, "#!/bin/sh\necho out of order >&2\nexit 1\n")?;
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    host.ok(["sandbox", "create", "box-late"])?;
    host.ok(["service", "publish", "late.new"])?;
    let attach = ["service", "attach", "box-late", "late.new"];
    crate::stage::refused(host, &attach, &["no way to the outside: cannot ", ": out of order"])?;
    works()?;
    std::fs::remove_file(&broken)?;
    host.ok(attach)?;
    works()
}

/// ```text
///   h1: box-one ─┐
///   h2: box-web ─┴─ network dev, overlay, port 8080 of h2
/// ```
fn published_on_the_host_of_the_service(lab: &Lab) -> Result<()> {
    let (h1, h2, external) = (lab.host(1), lab.host(2), lab.external());
    h1.ok(["network", "create", "dev"])?;
    let one = Container::new(h1, "one", "dev", &[])?;
    let web = published(h2, "web", "dev", &["8080:80"])?;
    let _servers =
        [Who::start(&web.netns(lab)?, "web", 80)?, Who::start(external.netns(), "external", 99)?];
    sees(external.netns(), (&h2.address(), 8080), "web", &external.address())?;
    sees(h1.netns(), (&h2.address(), 8080), "web", &h1.address())?;
    sees(&one.netns(lab)?, (&h2.address(), 8080), "web", &h1.address())?;
    eventually("the network is one", SOON, || {
        sees(&one.netns(lab)?, (&web.address()?, 80), "web", &one.address()?)
    })?;
    for (container, host) in [(&one, h1), (&web, h2)] {
        sees(&container.netns(lab)?, (&external.address(), 99), "external", &host.address())?;
    }
    nobody(external.netns(), By::Tcp, &h1.address(), 8080)?;

    // It goes with the service.
    let heir = "box-heir";
    h1.ok(["sandbox", "create", heir])?;
    h1.ok(["service", "attach", "--force", heir, "web.dev"])?;
    let path = crate::stage::field(h1, &["sandbox", "inspect", heir], "/0/netns")?;
    let _server = Who::start(&Netns::open(lab.dir(), path.as_ref()), "heir", 80)?;
    sees(external.netns(), (&h1.address(), 8080), "heir", &external.address())?;
    eventually("it is gone from the other host", SOON, || {
        nobody(external.netns(), By::Tcp, &h2.address(), 8080)
    })
}

/// ```text
///   h1: box-web ─ network dev, IPv4 and IPv6, port 8080 ── external
/// ```
fn both_families_go_out_and_come_in(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    host.ok(["network", "create", "--ipv6", "dev"])?;
    host.ok(["network", "create", "--ipv6", "other"])?;
    let web = published(host, "web", "dev", &["8080:80", "[2001:db8::1]:7000:80"])?;
    let other = Container::new(host, "other", "other", &[])?;
    let _servers =
        [Who::start(&web.netns(lab)?, "web", 80)?, Who::start(external.netns(), "external", 99)?];
    let inside = web.netns(lab)?;
    for (ours, theirs) in
        [(host.address(), external.address()), (host.address6(), external.address6())]
    {
        sees(&inside, (&theirs, 99), "external", &ours)?;
        sees(external.netns(), (&ours, 8080), "web", &theirs)?;
        sees(host.netns(), (&ours, 8080), "web", &ours)?;
    }
    sees(external.netns(), (&host.address6(), 7000), "web", &external.address6())?;
    for by in BOTH {
        nobody(external.netns(), by, &host.address(), 7000)?;
        nobody(&other.netns(lab)?, by, &web.address_at(1)?, 80)?;
    }
    let gateway =
        crate::stage::field(host, &["network", "inspect", "dev"], "/0/subnets/1/gateway")?;
    sees(&inside, (&host.address6(), 8080), "web", &gateway)?;
    sees(&other.netns(lab)?, (&host.address6(), 8080), "web", &other.address_at(1)?)?;
    // The host forwards nothing else of IPv6 either.
    let forwards = host.run(["cat", "/proc/sys/net/ipv6/conf/all/forwarding"])?.ok()?;
    ensure!(forwards.trim() == "0", "{forwards}");
    external.netns().ip([format!("route add fd00::/8 via {}", host.address6())])?;
    nobody(external.netns(), By::Udp, &web.address_at(1)?, 80)
}

/// ```text
///   h1: box-web, box-shy ─ network dev, gateway-mode=routed, 10.77.0.0/24 ── external, which has a route there
/// ```
fn networks_that_the_outside_has_routes_to(lab: &Lab) -> Result<()> {
    let (host, external) = (lab.host(1), lab.external());
    let words = ["--subnet", "10.77.0.0/24", "-o", "gateway-mode=routed", "dev"];
    host.ok(["network", "create"].iter().chain(&words))?;
    let web = published(host, "web", "dev", &["80"])?;
    let shy = Container::new(host, "shy", "dev", &[])?;
    external.netns().ip([format!("route add 10.77.0.0/24 via {}", host.address())])?;
    let _servers = [
        Who::start(&web.netns(lab)?, "web", 80)?,
        Who::start(&web.netns(lab)?, "web", 81)?,
        Who::start(&shy.netns(lab)?, "shy", 80)?,
        Who::start(external.netns(), "external", 99)?,
    ];
    sees(&web.netns(lab)?, (&external.address(), 99), "external", &web.address()?)?;
    sees(external.netns(), (&web.address()?, 80), "web", &external.address())?;
    for by in BOTH {
        nobody(external.netns(), by, &web.address()?, 81)?;
        nobody(external.netns(), by, &shy.address()?, 80)?;
        nobody(external.netns(), by, &host.address(), 80)?;
    }
    external.run(["ping", "-c", "1", "-W", "1", &shy.address()?])?.ok().map(drop)
}
