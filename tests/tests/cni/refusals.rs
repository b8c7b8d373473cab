//! Requests that cannot be done: each with its code, its sentence, and nothing left behind.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Netns, Options};

use crate::{
    plugin::{Answer, Attachment, call, configuration},
    stage,
};

const ENVIRONMENT: u32 = 4;
const CONFIGURATION: u32 = 7;

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

/// Fails unless ADD with each of these in the network configuration is refused with that code and that sentence.
fn refused_with(lab: &Lab, all: impl IntoIterator<Item = (Value, u32, String)>) -> Result<()> {
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let c = Attachment::new(host, "c", netns.path());
    for (further, code, sentence) in all {
        let asked = c.clone().with(&further);
        asked.ask("ADD")?.refused(code, &sentence).with_context(|| further.to_string())?;
    }
    nothing_is_left(host)
}

#[test]
fn the_network_configuration_must_make_sense() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let field = |what: &str| format!("field {what} of the network configuration: ");
    let all = [
        (
            json!({"cniVersion": "0.2.0"}),
            1,
            "cniVersion of network configuration dev is \"0.2.0\": netctl-cni speaks 0.3.1, 0.4.0, 1.0.0, 1.1.0"
                .to_owned(),
        ),
        (
            json!({"name": "a/b"}),
            CONFIGURATION,
            field("name")
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
            json!({"subnet": 7}),
            CONFIGURATION,
            field("subnet") + "invalid type: integer `7`, expected a text or a list of texts",
        ),
        (
            json!({"subnet": ["10.0.0.0/24", "x"]}),
            CONFIGURATION,
            field("subnet[1]") + "invalid IP address syntax",
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
            json!({"dns": {"nameservers": ["x"]}}),
            CONFIGURATION,
            field("dns.nameservers[0]") + "invalid IP address syntax",
        ),
    ];
    refused_with(&lab, all)?;
    call(host, &[("CNI_COMMAND", "ADD")], "{")?.refused(
        6,
        "the network configuration on standard input is no JSON: EOF while parsing an object at line 1 column 1",
    )?;
    lab.end()
}

#[test]
fn what_a_runtime_adds_must_make_sense() -> Result<()> {
    let lab = lab()?;
    let all = [
        (
            json!({"runtimeConfig": {"bandwidth": {"ingressRate": 1}}}),
            2,
            "field runtimeConfig.bandwidth is {\"ingressRate\":1}: netctl has the capabilities portMappings, ips, mac, \
             aliases, declare no others"
                .to_owned(),
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
    ];
    refused_with(&lab, all)?;
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

/// A runtime with mounts and process numbers that the daemon has not.
#[test]
fn a_namespace_must_be_seen() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let script = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip netns add inner && exec netctl-cni";
    let words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script];
    let mut command = host.command(words);
    for (name, value) in [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c"),
        ("CNI_NETNS", "/run/netns/inner"),
        ("CNI_IFNAME", "eth0"),
    ] {
        command.env(name, value);
    }
    let conf = configuration(host, &Value::Null).to_string();
    let output = testbed::output_fed(command, &conf, testbed::DEADLINE)?;
    let said: Value =
        serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    let sentence = "container c has its namespace where the daemon cannot see it: run the daemon with the mounts or the \
                    process numbers that the runtime has";
    ensure!(said["code"] == CONFIGURATION && said["msg"] == sentence, "{output:?}");
    nothing_is_left(host)?;
    lab.end()
}
