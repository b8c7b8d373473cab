//! Namespaces that others made, and ours as `ip netns` sees them.

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Netns, Options, Signal};

use crate::{exec, field, ok, refused};

/// `ip netns exec NAME` with the daemon's directory where ip-netns(8) looks.
fn ip_netns(host: &Host, name: &str) -> Result<String> {
    let script = "mkdir -p /run/netns && mount --rbind \"$1\" /run/netns && exec ip netns exec \"$2\" ip -brief address";
    let dir = host.dir("netns").display().to_string();
    host.run(["unshare", "--mount", "sh", "-c", script, "sh", &dir, name])?.ok()
}

/// A daemon with no setting, in mounts of its own, so that what it has on this machine is not this machine's.
const BY_DEFAULT: &str = r#"
set -e
netctl=$(readlink -f "$(command -v netctl)")
unset NETCTL_SOCKET
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mount -t bpf bpf /sys/fs/bpf
$netctl daemon & daemon=$!
trap 'kill $daemon; wait $daemon' EXIT
for i in $(seq 100); do
    if $netctl status > /dev/null 2>&1; then break; fi
    sleep 0.1
done
$netctl network create --subnet 10.87.0.0/24 dev > /dev/null
$netctl sandbox create box > /dev/null
$netctl network connect --ip 10.87.0.9 dev box > /dev/null
ip netns list
ip netns exec box ip -brief address
$netctl sandbox rm box > /dev/null
ls -A /run/netns
"#;

#[test]
fn ip_netns_finds_sandboxes_of_a_daemon_with_no_setting() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let limit = std::time::Duration::from_mins(1);
    let words = ["unshare", "--mount", "sh", "-c", BY_DEFAULT];
    let shown = lab.host(1).run_within(limit, words)?.ok()?;
    let lines: Vec<&str> = shown.lines().collect();
    ensure!(lines.iter().any(|line| line.split(' ').next() == Some("box")), "{shown}");
    // The last line is of its interface: nothing is left in /run/netns.
    let last = lines.last().copied().unwrap_or_default();
    ensure!(last.starts_with("eth0") && last.contains("10.87.0.9/24"), "{shown}");
    lab.end()
}

fn lab() -> Result<Lab> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    for words in [
        "network create --subnet 10.81.0.0/24 dev",
        "network create --subnet 10.82.0.0/24 other",
        "service publish --ip 10.81.0.10 a.dev",
        "service publish --ip 10.82.0.10 a.other",
        "service publish --ip 10.81.0.11 b.dev",
    ] {
        ok(lab.host(1), words)?;
    }
    Ok(lab)
}

#[test]
fn ip_netns_finds_sandboxes_by_name_and_id() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    ok(host, "sandbox create box")?;
    ok(host, "service attach box a.dev")?;
    let given = Netns::new(lab.dir(), "given")?;
    ok(host, &format!("sandbox create --netns {} mine", given.path().display()))?;
    ok(host, "service attach mine b.dev")?;
    for (sandbox, address) in [("box", "10.81.0.10/24"), ("mine", "10.81.0.11/24")] {
        let id = field(host, &format!("sandbox inspect {sandbox}"), "/0/id")?;
        for name in [sandbox, &id] {
            let shown = ip_netns(host, name)?;
            ensure!(shown.contains(address), "{name}: {shown}");
        }
    }
    // Another namespace of a sandbox's name is left alone.
    std::fs::write(host.dir("netns").join("taken"), "")?;
    ok(host, "sandbox create taken")?;
    ok(host, "sandbox rm box mine taken")?;
    let left: Vec<_> = std::fs::read_dir(host.dir("netns"))?.collect();
    ensure!(left.len() == 1, "not only what others put there: {left:?}");
    lab.end()
}

/// ```text
///   process in a namespace of its own, with eth0 already ─ dev ─ box
/// ```
#[test]
fn a_process_is_connected_and_stays_so() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    ok(host, "sandbox create box")?;
    ok(host, "service attach box b.dev")?;
    let given = Netns::new(lab.dir(), "container")?;
    given.ip(["link add eth0 type veth peer name far"])?;
    let mut process = given.spawn("container", ["sleep", "1d"])?;
    let pid = process.pid();
    ok(host, &format!("sandbox create --pid {pid} app"))?;
    ok(host, "service attach app a.dev")?;
    ok(host, "service attach app a.other")?;
    // Its own interface keeps its name.
    let links = given.run(["ip", "-brief", "address"])?.ok()?;
    for (device, address) in [("eth1", "10.81.0.10/24"), ("eth2", "10.82.0.10/24")] {
        let line = links.lines().find(|line| line.starts_with(device)).context("no interface")?;
        ensure!(line.contains(address), "{links}");
    }
    exec(host, "app", "ping -c 1 -W 1 10.81.0.11")?;
    exec(host, "box", "ping -c 1 -W 1 10.81.0.10")?;

    let again = "the namespace is that of sandbox app already";
    refused(host, &format!("sandbox create --pid {pid} twin"), again)?;
    let path = given.path().display();
    refused(host, &format!("sandbox create --netns {path} twin"), again)?;
    let own = host.daemon_pid().context("no daemon")?;
    // That is the host's own stack, which `--host` asks for by name, and of which there may be several.
    for name in ["twin", "third"] {
        ok(host, &format!("sandbox create --pid {own} {name}"))?;
    }
    refused(
        host,
        "service attach twin a.dev",
        "sandbox twin is the host's own network stack, which joins no other network: attach service a.dev to another \
         sandbox",
    )?;
    refused(
        host,
        "sandbox create --host --sysctl net.ipv4.ip_forward=1 fourth",
        "sandbox fourth is the host's own network stack: set the host's sysctls with sysctl(8)",
    )?;
    ok(host, "sandbox rm twin third")?;
    refused(host, "sandbox create --pid 4194305 twin", "there is no process 4194305")?;

    // A process that ends takes nothing with it; the number that it had may be another's by then.
    process.stop(Signal::SIGKILL, std::time::Duration::from_secs(5))?;
    lab.restart_daemon(host, Signal::SIGKILL)?;
    exec(host, "box", "ping -c 1 -W 1 10.81.0.10")?;
    ok(host, "service detach app a.dev")?;
    let links = given.run(["ip", "-brief", "address"])?.ok()?;
    ensure!(!links.contains("10.81.0.10") && links.contains("10.82.0.10"), "{links}");
    ok(host, "sandbox rm app")?;
    let links = given.run(["ip", "-brief", "link"])?.ok()?;
    ensure!(links.contains("eth0") && !links.contains("eth2"), "{links}");
    lab.end()
}
