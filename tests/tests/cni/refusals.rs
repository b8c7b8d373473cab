//! Requests that cannot be done: each with its code, its sentence, and nothing left behind.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Netns, Options, Signal, Store};

use crate::{
    plugin::{Answer, Attachment, call, configuration},
    stage, state,
};

const ENVIRONMENT: u32 = 4;
const CONFIGURATION: u32 = 7;
const TRY_AGAIN_LATER: u32 = 11;

fn lab() -> Result<Lab> {
    Lab::start(Options { hosts: 1, ..Options::default() })
}

#[test]
fn the_environment_must_make_sense() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let path = netns.path().display().to_string();
    let file = lab.dir().join("file");
    std::fs::write(&file, "")?;
    let file = file.display().to_string();
    let own = host.netns().path().display().to_string();
    let all = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c"),
        ("CNI_NETNS", &*path),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", ""),
    ];
    let conf = configuration(host, &Value::Null).to_string();
    let with = |name: &str, value: &str| -> Result<Answer> {
        let changed = all.map(|(known, old)| (known, if known == name { value } else { old }));
        call(host, &changed, &conf)
    };
    let missing = format!("CNI_NETNS: there is no network namespace at {path}x: nothing is there");
    let none = format!(
        "CNI_NETNS: {file} is not a network namespace: give the path of one, such as /run/netns/NAME or /proc/PID/ns/net"
    );
    for (name, value, code, sentence) in [
        (
            "CNI_COMMAND",
            "",
            ENVIRONMENT,
            "netctl-cni is for container runtimes, which set CNI_COMMAND: put it where they look for plugins with \
             `netctl cni install`",
        ),
        (
            "CNI_COMMAND",
            "add",
            ENVIRONMENT,
            "CNI_COMMAND is \"add\", which is none of ADD, DEL, CHECK, GC, STATUS, VERSION",
        ),
        (
            "CNI_CONTAINERID",
            "",
            ENVIRONMENT,
            "CNI_CONTAINERID is not set: the runtime has to set it",
        ),
        (
            "CNI_CONTAINERID",
            "a/b",
            ENVIRONMENT,
            "CNI_CONTAINERID: \"a/b\" must have 1 to 255 letters, digits, '-', '_' and '.', and begin with a letter or \
             digit",
        ),
        ("CNI_IFNAME", "", ENVIRONMENT, "CNI_IFNAME is not set: the runtime has to set it"),
        (
            "CNI_IFNAME",
            "eth0:1",
            ENVIRONMENT,
            "CNI_IFNAME: device name \"eth0:1\" must have 1 to 15 characters without '/', ':', '%' and blanks, and be \
             none of '.', '..', 'all' and 'default'",
        ),
        ("CNI_NETNS", "", ENVIRONMENT, "CNI_NETNS is not set: the runtime has to set it"),
        ("CNI_NETNS", &format!("{path}x"), 3, &missing),
        ("CNI_NETNS", &file, ENVIRONMENT, &none),
        (
            "CNI_NETNS",
            &own,
            100,
            "sandbox c is the host's own network stack, which joins no other network: attach service c.dev to another \
             sandbox",
        ),
        ("CNI_ARGS", "IP", ENVIRONMENT, "CNI_ARGS: \"IP\" is not KEY=VALUE"),
        (
            "CNI_ARGS",
            "FOO=1",
            ENVIRONMENT,
            "CNI_ARGS: FOO is not known: leave it out, or add IgnoreUnknown=1",
        ),
        (
            "CNI_ARGS",
            "IgnoreUnknown=x",
            ENVIRONMENT,
            "CNI_ARGS: IgnoreUnknown is \"x\", not 1 or 0",
        ),
        (
            "CNI_ARGS",
            "MAC=x",
            CONFIGURATION,
            "CNI_ARGS: MAC: \"x\" is not six pairs of hexadecimal digits separated by colons",
        ),
        ("CNI_ARGS", "IP=x", CONFIGURATION, "CNI_ARGS: IP: \"x\" is no IP address"),
        (
            "CNI_ARGS",
            "IP=10.0.0.1,10.0.0.2",
            CONFIGURATION,
            "CNI_ARGS: IP: 10.0.0.2 is a second address of its family: give one of each",
        ),
    ] {
        with(name, value)?.refused(code, sentence)?;
    }
    nothing_is_left(host)?;
    lab.end()
}

fn nothing_is_left(host: &Host) -> Result<()> {
    for noun in ["sandbox", "service", "network"] {
        let left = stage::names(host, noun)?;
        ensure!(left.is_empty(), "{noun}: {left:?}");
    }
    Ok(())
}

#[test]
fn the_network_configuration_must_make_sense() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let c = Attachment::new(host, "c", netns.path());
    let field = |what: &str| format!("field {what}");
    let of = " of the network configuration: ";
    for (further, code, sentence) in [
        (
            json!({"cniVersion": "0.2.0"}),
            1,
            "cniVersion of network configuration dev is \"0.2.0\": netctl-cni speaks 0.3.1, 0.4.0, 1.0.0, 1.1.0"
                .to_owned(),
        ),
        (
            json!({"name": "a/b"}),
            CONFIGURATION,
            field("name") + of
                + "\"a/b\" must have 1 to 255 letters, digits, '-', '_' and '.', and begin with a letter or digit",
        ),
        (
            json!({"name": "a.b"}),
            CONFIGURATION,
            "the network configuration's name is none of a network: name \"a.b\" must consist of letters, digits, '-' \
             and '_' and begin and end with a letter or digit; give the network's as `network`"
                .to_owned(),
        ),
        (
            json!({"ipam": {"type": "host-local"}}),
            2,
            "field ipam is {\"type\":\"host-local\"}: netctl gives the addresses, leave it out".to_owned(),
        ),
        (
            json!({"runtimeConfig": {"bandwidth": {"ingressRate": 1}}}),
            2,
            "field runtimeConfig.bandwidth is {\"ingressRate\":1}: netctl has the capabilities portMappings, ips, mac, \
             aliases, declare no others"
                .to_owned(),
        ),
        (
            json!({"subnet": 7}),
            CONFIGURATION,
            field("subnet") + of + "invalid type: integer `7`, expected a text or a list of texts",
        ),
        (
            json!({"subnet": ["10.0.0.0/24", "x"]}),
            CONFIGURATION,
            field("subnet[1]") + of + "invalid IP address syntax",
        ),
        (
            json!({"subnet": "10.0.0.1/24"}),
            CONFIGURATION,
            "subnet 10.0.0.1/24 has host bits set; did you mean 10.0.0.0/24?".to_owned(),
        ),
        (
            json!({"driver": "nothing"}),
            101,
            format!(
                "there is no driver nothing: use one of bridge, host, null, overlay, or a plugin, of which none is called \
                 so in {}",
                host.dir("plugin").display()
            ),
        ),
        (
            json!({"driver": "null"}),
            CONFIGURATION,
            "network dev is of driver null, which gives containers no interface: choose another".to_owned(),
        ),
        (
            json!({"options": {"mtu": "x"}}),
            CONFIGURATION,
            "option mtu=x: it is a number of bytes".to_owned(),
        ),
        (
            json!({"runtimeConfig": {"ips": ["10.0.0.300"]}}),
            CONFIGURATION,
            "field runtimeConfig.ips of the network configuration: \"10.0.0.300\" is no IP address".to_owned(),
        ),
        (
            json!({"runtimeConfig": {"mac": "x"}}),
            CONFIGURATION,
            "field runtimeConfig.mac of the network configuration: \"x\" is not six pairs of hexadecimal digits separated by \
             colons"
                .to_owned(),
        ),
        (
            json!({"runtimeConfig": {"aliases": {"dev": ["a.b"]}}}),
            CONFIGURATION,
            "field runtimeConfig.aliases of the network configuration: name \"a.b\" must consist of letters, digits, '-' \
             and '_' and begin and end with a letter or digit"
                .to_owned(),
        ),
        (
            json!({"runtimeConfig": {"aliases": 1}}),
            CONFIGURATION,
            "field runtimeConfig.aliases of the network configuration: expected a list of names, or one for each network"
                .to_owned(),
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 70000}]}}),
            CONFIGURATION,
            "field runtimeConfig.portMappings of the network configuration: port \"1:70000/tcp\": \"70000\" is no port: \
             write a number from 1 to 65535, or FIRST-LAST"
                .to_owned(),
        ),
        (
            json!({"prevResult": {"ips": 1}}),
            CONFIGURATION,
            "field prevResult.ips of the network configuration is no list".to_owned(),
        ),
        (
            json!({"dns": {"nameservers": ["x"]}}),
            CONFIGURATION,
            field("dns.nameservers[0]") + of + "invalid IP address syntax",
        ),
    ] {
        let asked = c.clone().with(&further);
        asked.ask("ADD")?.refused(code, &sentence).with_context(|| further.to_string())?;
    }
    call(host, &[("CNI_COMMAND", "ADD")], "{")?.refused(
        6,
        "the network configuration on standard input is no JSON: EOF while parsing an object at line 1 column 1",
    )?;
    nothing_is_left(host)?;
    lab.end()
}

#[test]
fn requests_are_refused_that_their_version_has_not() -> Result<()> {
    let lab = lab()?;
    let netns = Netns::new(lab.dir(), "c")?;
    let c = Attachment::new(lab.host(1), "c", netns.path());
    for (version, verb, since) in
        [("0.3.1", "CHECK", "0.4.0"), ("1.0.0", "GC", "1.1.0"), ("1.0.0", "STATUS", "1.1.0")]
    {
        let sentence = format!(
            "{verb} is in CNI from version {since} on, and the network configuration is of {version}: raise its cniVersion"
        );
        c.clone().with(&json!({"cniVersion": version})).ask(verb)?.refused(1, &sentence)?;
    }
    let sentence = "GC needs cni.dev/valid-attachments: the runtime has to add it";
    c.ask("GC")?.refused(CONFIGURATION, sentence)?;
    lab.end()
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
            102,
            "network dev is there already with driver overlay, not bridge: leave the driver out, or choose another network",
        ),
        (
            json!({"subnet": "10.95.0.0/24"}),
            102,
            "network dev is there already without subnet 10.95.0.0/24: leave the subnet out, or choose another network",
        ),
        (
            json!({"runtimeConfig": {"ips": ["10.96.0.1"]}}),
            CONFIGURATION,
            "address 10.96.0.1 is in no subnet of network dev, which has 10.94.0.0/24",
        ),
        (
            json!({"runtimeConfig": {"ips": ["10.94.0.9"]}}),
            102,
            "address 10.94.0.9 is taken on network dev: choose another, or let netctl choose",
        ),
        (
            json!({"runtimeConfig": {"mac": "02:00:00:00:00:09"}}),
            102,
            "MAC address 02:00:00:00:00:09 is taken on network dev: choose another, or let netctl choose",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"HostPort": 8080, "ContainerPort": 80}]}}),
            102,
            "port 8080/tcp of host h1 is published by service one.dev already: publish another, or detach that service first",
        ),
    ] {
        two.clone()
            .with(&further)
            .ask("ADD")?
            .refused(code, sentence)
            .with_context(|| further.to_string())?;
        // A network that was made for it goes as well; and so it is in a container that is somewhere already.
        if further["runtimeConfig"]["portMappings"].is_array() {
            let taken = "port 8080/tcp of host h1 is published by service one.dev already: publish another, or detach that service first";
            two.clone().with(&further).with(&fresh).ask("ADD")?.refused(102, taken)?;
            let again = Attachment { device: "eth1".to_owned(), ..one.clone() };
            again.with(&further).with(&fresh).ask("ADD")?.refused(102, taken)?;
        }
        ensure!(state::dump(&lab)? == dump, "something is left in the store after {further}");
        ensure!(state::machine(host)? == machine, "something is left on the host after {further}");
    }
    // The runtime asks twice, or for an interface that is there.
    one.ask("ADD")?
        .refused(102, "container one has an interface eth0 already: choose another name, or have it leave by DEL first")?;
    other.ip(["link add eth0 type veth peer name far"])?;
    two.ask("ADD")?
        .refused(102, "sandbox two has an interface eth0 already: choose another name")?;
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
    let check = |what: &str| c.ask("CHECK")?.refused(104, &changed(what));

    let renamed = json!({"prevResult": {"interfaces": [{"name": "eth0"}]}});
    let sentence = format!("prevResult has no interface eth0 in {}", netns.path().display());
    c.clone().with(&renamed).ask("CHECK")?.refused(CONFIGURATION, &sentence)?;
    let elsewhere = c.clone().with(&json!({"name": "other"}));
    elsewhere.ask("CHECK")?.refused(104, &changed("has no interface eth0 of other"))?;
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

#[test]
fn who_is_away_is_told_apart() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, store: Store::Etcd, ..Options::default() })?;
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let mut c = Attachment::new(host, "c", netns.path());
    c.add()?;
    c.silent("STATUS")?;
    let other = Netns::new(lab.dir(), "d")?;
    let mut d = Attachment::new(host, "d", other.path());

    let etcd = lab.etcd().context("the lab has an etcd")?;
    etcd.stop(Signal::SIGKILL)?;
    let later = |verb: &str, code: u32, part: &str| -> Result<()> {
        let said = if verb == "ADD" { d.ask(verb)? } else { c.ask(verb)? }.said;
        let sentence = said["msg"].as_str().unwrap_or_default();
        ensure!(said["code"] == code && sentence.contains(part), "{verb}: {said}");
        Ok(())
    };
    for (verb, code) in [("ADD", TRY_AGAIN_LATER), ("DEL", TRY_AGAIN_LATER), ("STATUS", 50)] {
        later(verb, code, "etcd")?;
    }
    host.stop_daemon(Signal::SIGTERM)?;
    for (verb, code) in [
        ("ADD", TRY_AGAIN_LATER),
        ("DEL", TRY_AGAIN_LATER),
        ("CHECK", TRY_AGAIN_LATER),
        ("STATUS", 51),
    ] {
        later(verb, code, "netctl daemon cannot be reached at")?;
    }
    etcd.start()?;
    lab.start_daemon(host)?;
    c.silent("STATUS")?;
    c.silent("CHECK")?;
    c.silent("DEL")?;
    d.add()?;
    d.silent("DEL")?;
    lab.end()
}
