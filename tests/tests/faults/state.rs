//! What there is: in the store, in the kernel, on disk; and whether the three agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab};

use crate::stored;
pub(crate) use crate::stored::Dump;

/// What there is in the store, but for the hints of which addresses to give next.
pub(crate) fn dump(lab: &Lab) -> Result<Dump> {
    let mut all = stored::dump(lab)?;
    let hints: Vec<String> = all.keys().filter_map(|key| hint_of(key)).collect();
    for network in hints {
        ensure!(all.contains_key(&format!("networks/{network}")), "hints of {network} are left");
    }
    all.retain(|key, _| hint_of(key).is_none());
    Ok(all)
}

/// The network that a key is a hint of.
fn hint_of(key: &str) -> Option<String> {
    Some(key.strip_prefix("ipam/hints/")?.split('/').next()?.to_owned())
}

/// What is on a host: links, addresses, files of the daemon, pins, and entries of its maps.
pub(crate) fn machine(host: &Host) -> Result<BTreeSet<String>> {
    let mut found = files_and_links(host)?;
    for noun in ["fdb", "neigh", "sandbox"] {
        for row in rows_of(host, noun)? {
            found.insert(format!("{noun} {row}"));
        }
    }
    Ok(found)
}

/// The same without what the daemon is asked for, whose names come from the store.
pub(crate) fn files_and_links(host: &Host) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for line in host.run(["ip", "-o", "-4", "addr"])?.ok()?.lines() {
        found.insert(format!("address {}", line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    found.extend(links(host)?.into_iter().map(|name| format!("link {name}")));
    for name in ["run", "state", "bpf", "netns"] {
        files(&host.dir(name), &mut found)?;
    }
    Ok(found)
}

/// The directory of what a daemon pins, below that of its `--bpf-dir`.
pub(crate) fn pins_dir() -> String {
    format!("v{}", netctl_common::ABI_VERSION)
}

/// The rows that `netctl NOUN [ls]` shows.
pub(crate) fn rows_of(host: &Host, noun: &str) -> Result<Vec<Value>> {
    let words: &[&str] = match noun {
        "fdb" | "neigh" => &[noun, "--format", "json"],
        _ => &[noun, "ls", "--format", "json"],
    };
    let text = host.ok(words)?;
    serde_json::from_str(&text).with_context(|| format!("{noun}: {text}"))
}

/// The names of the links in the host's namespace.
pub(crate) fn links(host: &Host) -> Result<BTreeSet<String>> {
    names(&host.run(["ip", "-o", "link"])?.ok()?)
}

fn names(text: &str) -> Result<BTreeSet<String>> {
    let name = |line: &str| {
        let name = line.split(": ").nth(1)?;
        Some(name.split('@').next()?.to_owned())
    };
    text.lines().map(|line| name(line).context("a line of `ip -o link`")).collect()
}

fn files(dir: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        // Another may go while this looks: its absence is what is found then.
        if path.is_dir() && !path.is_symlink() {
            found.insert(format!("directory {}", path.display()));
            files(&path, found)?;
        } else {
            found.insert(format!("file {}", path.display()));
        }
    }
    Ok(())
}

/// Whether everything agrees: the store with itself, and each host's views, namespaces, links, files and maps with it.
pub(crate) fn check(lab: &Lab) -> Result<()> {
    let dump = dump(lab)?;
    let store = Objects::read(&dump)?;
    ensure!(
        store.keys == dump.keys().cloned().collect(),
        "keys without an object: {:?}; objects without a key: {:?}",
        dump.keys().filter(|key| !store.keys.contains(*key)).collect::<Vec<_>>(),
        store.keys.iter().filter(|key| !dump.contains_key(*key)).collect::<Vec<_>>()
    );
    lab.hosts().iter().try_for_each(|host| {
        store.check(host).with_context(|| format!("on {}: {dump:#?}", host.name()))
    })
}

/// What is in the store, and the keys that this needs, no more and no fewer.
#[derive(Default)]
struct Objects {
    networks: BTreeMap<String, Value>,
    endpoints: BTreeMap<String, Value>,
    keys: BTreeSet<String>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn bare(address: &Value) -> &str {
    address.as_str().and_then(|net| net.split('/').next()).unwrap_or_default()
}

impl Objects {
    fn read(dump: &Dump) -> Result<Self> {
        let mut objects = Self::default();
        for (key, value) in dump {
            if let Some(id) = key.strip_prefix("networks/") {
                objects.network(id, serde_json::from_str(value)?);
            } else if key.starts_with("endpoints/") {
                objects.endpoint(serde_json::from_str(value)?);
            }
        }
        Ok(objects)
    }

    fn network(&mut self, id: &str, network: Value) {
        self.keys.insert(format!("networks/{id}"));
        let name = text(&network, "name");
        self.keys.insert(match network["host"].as_str() {
            Some(host) => format!("names/local/{name}/{host}"),
            None => format!("names/networks/{name}"),
        });
        if let driver @ ("null" | "host") = text(&network, "driver") {
            self.keys.insert(format!("sole/{driver}/{}", text(&network, "host")));
        }
        if let Some(vni) = network["vni"].as_u64() {
            self.keys.insert(format!("vnis/{vni}"));
        }
        if let Some(mac) = network["gateway_mac"].as_str() {
            self.keys.insert(format!("ipam/macs/{id}/{mac}"));
        }
        for subnet in list(&network, "subnets") {
            self.keys.insert(format!("ipam/pools/{}/{id}", text(subnet, "cidr")));
            self.keys.insert(format!("ipam/addresses/{id}/{}", text(subnet, "gateway")));
        }
        self.networks.insert(id.to_owned(), network);
    }

    fn endpoint(&mut self, endpoint: Value) {
        let (id, network) = (text(&endpoint, "id"), text(&endpoint, "network"));
        self.keys.insert(format!("endpoints/{network}/{id}"));
        self.keys.insert(format!("names/endpoints/{network}/{}", text(&endpoint, "name")));
        if let Some(mac) = endpoint["mac"].as_str() {
            self.keys.insert(format!("ipam/macs/{network}/{mac}"));
        }
        for address in list(&endpoint, "addresses") {
            self.keys.insert(format!("ipam/addresses/{network}/{}", bare(address)));
        }
        if endpoint["owner"].is_object() {
            let host = text(&endpoint["owner"], "host");
            self.keys.insert(format!("attachments/{host}/{id}"));
        }
        self.endpoints.insert(id.to_owned(), endpoint);
    }

    fn check(&self, host: &Host) -> Result<()> {
        let own: BTreeMap<&String, &Value> = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| text(&endpoint["owner"], "host") == host.name())
            .collect();
        Self::check_sandboxes(host, &own)?;
        self.check_links(host, &own)?;
        self.check_maps(host, &own)
    }

    /// Sandboxes with their files, namespaces and interfaces.
    fn check_sandboxes(host: &Host, own: &BTreeMap<&String, &Value>) -> Result<()> {
        let sandboxes = rows_of(host, "sandbox")?;
        let of_each = |field| -> BTreeSet<&str> {
            sandboxes.iter().map(|sandbox| text(sandbox, field)).collect()
        };
        let ids = of_each("id");
        let mut served = BTreeSet::new();
        for sandbox in &sandboxes {
            let id = text(sandbox, "id");
            for interface in list(sandbox, "interfaces") {
                let endpoint = text(interface, "endpoint");
                let owner = own.get(&endpoint.to_owned()).map(|own| &own["owner"]);
                ensure!(
                    owner.is_some_and(|owner| {
                        text(owner, "sandbox") == id && owner["ports"] == interface["ports"]
                    }),
                    "sandbox {sandbox} is shown with {endpoint}: {owner:?}"
                );
                served.insert(endpoint);
            }
            let netns = text(sandbox, "netns");
            let inside = ["nsenter", &format!("--net={netns}"), "ip", "-o", "addr"];
            let addresses = host.run(inside)?.ok()?;
            let devices: Vec<&Value> =
                list(sandbox, "interfaces").filter(|i| i["device"].is_string()).collect();
            for interface in &devices {
                let device = text(interface, "device");
                for address in list(interface, "addresses") {
                    let address = address.as_str().unwrap_or_default();
                    let line = addresses.lines().find(|line| line.contains(address));
                    ensure!(
                        line.is_some_and(|line| line.contains(&format!(": {device} "))),
                        "{device} lacks {address}: {addresses}"
                    );
                }
            }
            let links =
                host.run(["nsenter", &format!("--net={netns}"), "ip", "-o", "link"])?.ok()?;
            // The host's own stack has the host's devices.
            if sandbox["host_stack"] == true {
                ensure!(devices.is_empty(), "it has devices of its own: {sandbox}");
                continue;
            }
            let present = names(&links)?.into_iter().filter(|name| name.starts_with("eth")).count();
            ensure!(present == devices.len(), "{id} has other devices than it is shown: {links}");
        }
        ensure!(
            own.keys().map(|id| id.as_str()).collect::<BTreeSet<_>>() == served,
            "sandboxes have {served:?}, the store says {:?}",
            own.keys()
        );
        let named = ids.union(&of_each("name")).copied().collect();
        for (dir, what, expected) in [
            (host.dir("netns"), "namespaces", &named),
            (host.dir("run").join("sandboxes"), "directories", &ids),
            (host.dir("state").join("sandboxes"), "records", &ids),
        ] {
            let found = stems(&dir)?;
            ensure!(
                found.iter().map(String::as_str).collect::<BTreeSet<_>>() == *expected,
                "{what}: {found:?}; sandboxes: {expected:?}"
            );
        }
        Ok(())
    }

    fn check_links(&self, host: &Host, own: &BTreeMap<&String, &Value>) -> Result<()> {
        let mut expected: BTreeSet<String> = ["lo", "eth0", "netctl-vx"].map(str::to_owned).into();
        for (id, endpoint) in own {
            let network = &self.networks[text(endpoint, "network")];
            if let Some(vni) = network["vni"].as_u64() {
                expected.insert(format!("nc{}", &id[..12]));
                expected.insert(format!("nh-{vni:06x}"));
                expected.insert(format!("np-{vni:06x}"));
            }
        }
        let mut found = links(host)?;
        // What gives the endpoints' devices room for outer headers is there for as long as one of them is.
        found.retain(|name| !name.starts_with("netctl-h") || own.is_empty());
        ensure!(found == expected, "links {found:?}, expected {expected:?}");
        let pins = stems(&host.dir("bpf").join(pins_dir()).join("links"))?;
        ensure!(
            pins.len() <= expected.len(),
            "more links are pinned than there are devices: {pins:?}"
        );
        Ok(())
    }

    fn check_maps(&self, host: &Host, own: &BTreeMap<&String, &Value>) -> Result<()> {
        let here: BTreeSet<&str> = own.values().map(|endpoint| text(endpoint, "network")).collect();
        let (mut fdb, mut neigh) = (BTreeSet::new(), BTreeSet::new());
        for id in here {
            let network = &self.networks[id];
            let Some(vni) = network["vni"].as_u64() else { continue };
            fdb.insert(format!("{vni} {} local", text(network, "gateway_mac")));
            fdb.insert(format!("{vni} all gateway"));
            for subnet in list(network, "subnets") {
                let gateway = (text(subnet, "gateway"), text(network, "gateway_mac"));
                neigh.insert(format!("{vni} {} {}", gateway.0, gateway.1));
            }
            for endpoint in self.endpoints.values() {
                let owner = &endpoint["owner"];
                let station = endpoint["vtep"].as_str();
                if text(endpoint, "network") != id || (!owner.is_object() && station.is_none()) {
                    continue;
                }
                let mac = text(endpoint, "mac");
                let local = text(owner, "host") == host.name();
                let vtep = station.or(owner["vteps"][0].as_str()).unwrap_or_default();
                let (place, member) =
                    if local { ("local", text(endpoint, "name")) } else { (vtep, vtep) };
                fdb.insert(format!("{vni} {mac} {place}"));
                fdb.insert(format!("{vni} all {member}"));
                for address in list(endpoint, "addresses") {
                    neigh.insert(format!("{vni} {} {mac}", bare(address)));
                }
            }
        }
        let shown = |noun: &str| -> Result<BTreeSet<String>> {
            let row = |row: &Value| match noun {
                "fdb" if row["mac"].is_null() => {
                    let member = row["vtep"].as_str().unwrap_or_else(|| text(row, "service"));
                    format!("{} all {member}", row["vni"])
                }
                "fdb" => {
                    let place = row["vtep"].as_str().unwrap_or("local");
                    format!("{} {} {place}", row["vni"], text(row, "mac"))
                }
                _ => format!("{} {} {}", row["vni"], text(row, "address"), text(row, "mac")),
            };
            Ok(rows_of(host, noun)?.iter().map(row).collect())
        };
        let found = shown("fdb")?;
        ensure!(found == fdb, "fdb is {found:#?}, expected {fdb:#?}");
        let found = shown("neigh")?;
        ensure!(found == neigh, "neigh is {found:#?}, expected {neigh:#?}");
        Ok(())
    }
}

/// The names of the files in a directory, without their endings; none where it is not there.
fn stems(dir: &Path) -> Result<BTreeSet<String>> {
    if !dir.exists() {
        return Ok(BTreeSet::new());
    }
    let stem = |path: std::path::PathBuf| {
        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    };
    fs::read_dir(dir)?.map(|entry| Ok(stem(entry?.path()))).collect()
}
