//! Hundreds of endpoints on one host, made and removed by eight clients at once: each is there, no two have the same
//! address, and nothing is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Client, Host, Lab, Options, Store, eventually};

use crate::state;

const CLIENTS: usize = 8;
/// How many there are; `NETCTL_TEST_ENDPOINTS` for more. A debug build takes minutes for a thousand, and a release build
/// in `NETCTL_BIN` one; 1040 are more than one bridge that gives them headroom has ports for.
fn endpoints() -> Result<usize> {
    std::env::var("NETCTL_TEST_ENDPOINTS").map_or(Ok(160), |text| Ok(text.parse()?))
}
/// How much more memory the daemon may hold after the second time than after the first, in KiB.
const MEMORY: u64 = 16 * 1024;

/// Has each client do its share of `count` pieces of work, one after another.
fn at_once(
    host: &Host,
    count: usize,
    work: impl Fn(&mut Client, usize) -> Result<()> + Sync,
) -> Result<()> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|first| {
                let work = &work;
                scope.spawn(move || {
                    let mut client = Client::connect(&host.socket())?;
                    (first..count).step_by(CLIENTS).try_for_each(|number| work(&mut client, number))
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })
}

fn make(client: &mut Client, number: usize) -> Result<()> {
    let (sandbox, service) = (format!("s{number}"), format!("e{number}.dev"));
    client.ok("POST", "/v1/sandboxes", &json!({ "name": sandbox }))?;
    client.ok("POST", "/v1/services", &json!({ "service": service }))?;
    let attach = format!("/v1/services/{service}/attach");
    client.ok("POST", &attach, &json!({ "sandbox": sandbox })).map(drop)
}

fn remove(client: &mut Client, number: usize) -> Result<()> {
    let (sandbox, service) = (format!("s{number}"), format!("e{number}.dev"));
    // Half of them are detached by themselves, the others go with their sandbox.
    if number.is_multiple_of(2) {
        let detach = format!("/v1/services/{service}/detach");
        client.ok("POST", &detach, &json!({ "sandbox": sandbox }))?;
    }
    client.ok("DELETE", &format!("/v1/sandboxes/{sandbox}"), &Value::Null)?;
    client.ok("DELETE", &format!("/v1/services/{service}"), &Value::Null).map(drop)
}

/// How many descriptors and threads the daemon has, and how much memory, in KiB.
fn used(host: &Host) -> Result<(usize, usize, u64)> {
    let process = format!("/proc/{}", host.daemon_pid().context("the daemon is dead")?);
    let count =
        |what: &str| Ok::<_, anyhow::Error>(fs::read_dir(format!("{process}/{what}"))?.count());
    let status = fs::read_to_string(format!("{process}/status"))?;
    let memory =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Ok((count("fd")?, count("task")?, memory.context("no VmRSS")?.parse()?))
}

/// What the daemon's maps and the kernel hold of the endpoints while all are there.
fn check_all_there(host: &Host, count: usize) -> Result<()> {
    let services = state::rows_of(host, "service")?;
    ensure!(services.len() == count, "{} services", services.len());
    let text =
        |service: &Value, field: &str| service[field].as_str().unwrap_or_default().to_owned();
    let address = |service: &Value| service["addresses"][0].as_str().unwrap_or_default().to_owned();
    let addresses: BTreeSet<String> = services.iter().map(address).collect();
    let macs: BTreeMap<String, String> =
        services.iter().map(|service| (text(service, "mac"), text(service, "id"))).collect();
    ensure!(addresses.len() == count, "{} addresses", addresses.len());
    ensure!(macs.len() == count, "{} MAC addresses", macs.len());
    let links = state::links(host)?;
    let ports = services.iter().map(|service| format!("nc{}", &text(service, "id")[..12]));
    let lacking: Vec<String> = ports.filter(|port| !links.contains(port)).collect();
    ensure!(lacking.is_empty(), "{lacking:?} are not there");
    let fdb = state::rows_of(host, "fdb")?;
    let known: BTreeSet<String> = fdb.iter().map(|row| text(row, "mac")).collect();
    ensure!(macs.keys().all(|mac| known.contains(mac)), "stations are missing");
    let neigh = state::rows_of(host, "neigh")?;
    ensure!(neigh.len() == count + 1, "{} neighbours", neigh.len());
    // From the first to the last: packets flow.
    let last = format!("e{}", count - 1);
    host.run(["netctl", "exec", "s0", "--", "ping", "-c", "3", "-i", "0.2", "-W", "2", &last])?
        .ok()?;
    Ok(())
}

fn many_endpoints(store: Store) -> Result<()> {
    let count = endpoints()?;
    let lab = Lab::start(Options { hosts: 1, store, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "--subnet", "10.80.0.0/16", "dev"])?;
    // What the daemon takes once it keeps: threads, and memory for as many.
    at_once(host, 40, make)?;
    at_once(host, 40, remove)?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    let mut at_rest = None;
    for _ in 0..2 {
        at_once(host, count, make)?;
        check_all_there(host, count)?;
        at_once(host, count, remove)?;
        let after = (state::dump(&lab)?, state::machine(host)?);
        ensure!(before == after, "{before:#?}\n{after:#?}");
        state::check(&lab)?;
        let first = *at_rest.get_or_insert(used(host)?);
        eventually("all is given back", Duration::from_secs(30), || {
            let now = used(host)?;
            let fits = now.0 <= first.0 + 4 && now.1 <= first.1 + 4 && now.2 <= first.2 + MEMORY;
            ensure!(fits, "{first:?} after the first time, {now:?} after the second");
            Ok(())
        })?;
    }
    lab.end()
}

#[test]
fn many_endpoints_leave_nothing_with_a_file() -> Result<()> {
    many_endpoints(Store::File)
}

#[test]
fn many_endpoints_leave_nothing_with_etcd() -> Result<()> {
    many_endpoints(Store::Etcd)
}
