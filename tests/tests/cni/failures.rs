//! Requests that fail for what else there is, and what CHECK finds changed: nothing is left of them.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{Lab, Netns, Options};

use crate::{plugin::Attachment, state};

const CONFIGURATION: u32 = 7;
const CONFLICT: u32 = 102;
const CHANGED: u32 = 104;

const PORT_TAKEN: &str = "port 8080/tcp of host h1 is published by service one.dev already: publish another, or detach \
                          that service first";

fn lab() -> Result<Lab> {
    Lab::start(Options { hosts: 1, ..Options::default() })
}

/// ```text
///   h1: one, port 8080 ─ dev 10.94.0.0/24
/// ```
#[test]
fn what_fails_leaves_nothing() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let (netns, other) = (Netns::new(lab.dir(), "one")?, Netns::new(lab.dir(), "two")?);
    let subnet = json!({"subnet": "10.94.0.0/24"});
    let wish = json!({"runtimeConfig": {
        "ips": ["10.94.0.9/24"], "mac": "02:00:00:00:00:09",
        "portMappings": [{"hostPort": 8080, "containerPort": 80}],
    }});
    let mut one = Attachment::new(host, "one", netns.path()).with(&subnet).with(&wish);
    one.add()?;
    let two = Attachment::new(host, "two", other.path());
    let fresh = json!({"network": "fresh", "subnet": "10.95.0.0/24"});
    let (dump, machine) = (state::dump(&lab)?, state::machine(host)?);
    for (further, code, sentence) in [
        (
            json!({"driver": "bridge"}),
            CONFLICT,
            "network dev is there already with driver overlay: \
             leave the driver out, or choose another network",
        ),
        (
            json!({"subnet": "10.95.0.0/24"}),
            CONFLICT,
            "network dev is there already without subnet 10.95.0.0/24: \
             leave the subnet out, or choose another network",
        ),
        (
            json!({"runtimeConfig": {"ips": ["10.96.0.1"]}}),
            CONFIGURATION,
            "address 10.96.0.1 is in no subnet of network dev, which has 10.94.0.0/24",
        ),
        (
            json!({"runtimeConfig": {"ips": ["10.94.0.9"]}}),
            CONFLICT,
            "address 10.94.0.9 is taken on network dev: choose another, or let netctl choose",
        ),
        (
            json!({"runtimeConfig": {"mac": "02:00:00:00:00:09"}}),
            CONFLICT,
            "MAC address 02:00:00:00:00:09 is taken on network dev: choose another, or let netctl choose",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"HostPort": 8080, "ContainerPort": 80}]}}),
            CONFLICT,
            PORT_TAKEN,
        ),
    ] {
        two.clone()
            .with(&further)
            .ask("ADD")?
            .refused(code, sentence)
            .with_context(|| further.to_string())?;
        // A network that was made for it goes as well; and so it is in a container that is somewhere already.
        if further["runtimeConfig"]["portMappings"].is_array() {
            two.clone().with(&further).with(&fresh).ask("ADD")?.refused(CONFLICT, PORT_TAKEN)?;
            let again = Attachment { device: "eth1".to_owned(), ..one.clone() };
            again.with(&further).with(&fresh).ask("ADD")?.refused(CONFLICT, PORT_TAKEN)?;
        }
        ensure!(state::dump(&lab)? == dump, "something is left in the store after {further}");
        ensure!(state::machine(host)? == machine, "something is left on the host after {further}");
    }
    // The runtime asks twice, or for an interface that is there.
    one.ask("ADD")?.refused(
        CONFLICT,
        "container one has an interface eth0 already: choose another name, or have it leave by DEL first",
    )?;
    other.ip(["link add eth0 type veth peer name far"])?;
    two.ask("ADD")?
        .refused(CONFLICT, "sandbox two has an interface eth0 already: choose another name")?;
    ensure!(state::dump(&lab)? == dump, "something is left in the store");
    state::check(&lab)?;

    // Whatever failed, ADD is followed by DEL.
    two.silent("DEL")?;
    one.silent("CHECK")?;
    one.silent("DEL")?;
    lab.end()
}

#[test]
fn check_says_what_is_no_longer_so() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let mut c = Attachment::new(host, "c", netns.path());
    c.ask("CHECK")?.refused(
        CONFIGURATION,
        "CHECK needs prevResult, the result of ADD: the runtime has to add it",
    )?;
    let result = c.add()?;
    let address = result["ips"][0]["address"].as_str().context("an address")?.to_owned();
    let mac = result["interfaces"][0]["mac"].as_str().context("a MAC")?.to_owned();
    let changed = |what: &str| format!("container c {what}: remove it, and start it again");
    let check = |what: &str| c.ask("CHECK")?.refused(CHANGED, &changed(what));

    let renamed = json!({"prevResult": {"interfaces": [{"name": "eth0"}]}});
    let sentence = format!("prevResult has no interface eth0 in {}", netns.path().display());
    c.clone().with(&renamed).ask("CHECK")?.refused(CONFIGURATION, &sentence)?;
    let elsewhere = c.clone().with(&json!({"name": "other"}));
    elsewhere.ask("CHECK")?.refused(CHANGED, &changed("has no interface eth0 of other"))?;
    netns.ip([format!("address del {address} dev eth0")])?;
    check(&format!("has eth0 without address {}", address.split('/').next().unwrap_or_default()))?;
    netns.ip([format!("address add {address} dev eth0")])?;
    check("has no route to 0.0.0.0/0")?;
    netns.ip(["link set eth0 address 02:00:00:00:00:01"])?;
    check(&format!("has eth0 with address 02:00:00:00:00:01, not {mac}"))?;
    netns.ip(["link set eth0 down"])?;
    check("has its interface eth0 down")?;
    netns.ip(["link set eth0 name eth9"])?;
    check("has no interface eth0")?;
    host.ok(["service", "detach", "c", "c.dev"])?;
    check("has no interface eth0 of dev")?;
    c.silent("DEL")?;
    check("is on no network of dev")?;
    lab.end()
}
