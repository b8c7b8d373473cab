//! What is understood on the command line, and what is refused.

mod values;

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory as _;

use super::*;
use crate::model::{NetworkSpec, ServiceSpec};

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(["netctl"].into_iter().chain(line.split_whitespace()))
        .map(|cli| cli.command)
}

fn network(line: &str) -> NetworkSpec {
    let Command::Network(network::Command::Create(create)) = parse(line).expect(line) else {
        panic!("{line} creates no network");
    };
    (*create).into()
}

fn service(line: &str) -> ServiceSpec {
    let Command::Service(service::Command::Publish(publish)) = parse(line).expect(line) else {
        panic!("{line} publishes no service");
    };
    publish.into()
}

fn json<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("JSON")
}

#[test]
fn the_command_line_fits_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_is_understood() {
    for line in [
        "daemon",
        "monitor --drops --network dev --reason source-mac -n 3",
        "monitor --flows --service web.dev --protocol udp --port 53 --format json",
        "capture --service web.dev -w web.pcapng -c 10 --snaplen 96 tcp port 80 and not host 10.0.0.1",
        "capture --outer --network dev --duration 2.5 -w -",
        "capture icmp[0] == 8",
        "daemon --store etcd:http://10.0.0.1:2379 --vxlan-port 4790 --run-dir /run/h1",
        "network create dev",
        "network ls -q",
        "network ls --no-trunc --format json",
        "--format json network ls",
        "network inspect dev 0123456789ab",
        "network rm dev test",
        "service publish svc1.dev",
        "service unpublish -f svc1.dev",
        "service attach -f box svc1.dev",
        "service attach box svc1",
        "service detach box svc1.dev",
        "service ls --network dev -q --no-trunc",
        "service inspect svc1.dev svc2.dev",
        "sandbox create",
        "sandbox create --netns /run/netns/x --dns 10.0.0.1 --dns 10.0.0.2 box",
        "sandbox create --pid 1 --hostname a.b --add-host db:10.0.0.1 --sysctl net.ipv4.ip_forward=1 box",
        "service attach --gw-priority -5 --ifname front --sysctl net.ipv4.conf.IFNAME.rp_filter=0 box svc1",
        "service detach box svc1.dev svc2.dev",
        "service unpublish svc1.dev svc2.dev",
        "network connect --alias a -p 8000-8002:80-82 -p 53/udp --ip 10.1.0.9 --gw-priority 1 dev box",
        "network disconnect dev box",
        "network ls --filter label=a=b --filter driver=overlay",
        "network prune -f --filter label=a",
        "completions bash",
        "config show --run-dir /x --config /y",
        "man",
        "man /tmp",
        "sandbox ls",
        "sandbox inspect box",
        "sandbox rm box",
        "run -- sleep 1d",
        "run --name box -p 8080:80 --publish-service svc1.dev.overlay --dns 10.0.0.1 --rm -- sh -c true",
        "exec box -- ip -br addr",
        "exec box ip -br addr",
        "fdb",
        "neigh",
        "counters --all",
        "host ls -q",
        "bench h2",
        "bench --milliseconds 500 h2",
        "bench serve",
        "bench serve --network dev --for 60",
        "status",
        "version",
        "--socket /run/h1/netctl.sock status",
        "status --socket /run/h1/netctl.sock",
    ] {
        parse(line).expect(line);
    }
}

#[test]
fn what_is_given_is_what_is_asked_for() {
    let spec = network(
        "network create -d overlay --subnet 10.1.0.0/24 --subnet 10.2.0.0/24 --ip-range 10.1.0.128/25 \
         --ip-range h1=10.2.0.0/25 --aux-address nas=10.1.0.7 --ipam-driver desk --ipam-opt choice=random \
         --gateway 10.1.0.1 --ipv6 --internal -o a=b --opt c=d=e --label x= dev",
    );
    assert_eq!(
        json(&spec),
        serde_json::json!({
            "name": "dev", "driver": "overlay", "subnets": ["10.1.0.0/24", "10.2.0.0/24"],
            "ipv6": true, "ip_ranges": ["10.1.0.128/25", "h1=10.2.0.0/25"], "gateways": ["10.1.0.1"],
            "aux_addresses": {"nas": "10.1.0.7"}, "ipam_driver": "desk", "ipam_options": {"choice": "random"}, "internal": true,
            "options": {"a": "b", "c": "d=e"}, "labels": {"x": ""},
        })
    );
    assert_eq!(json(&network("network create dev"))["driver"], serde_json::Value::Null);
    let spec = service(
        "service publish --alias a --alias b --expose 80:http -p 8080:80 --publish [::1]::53/udp --ip 10.1.0.9 \
         --ip6 fd00::9 --mac 02:00:00:00:00:01 --bridging --vtep 192.0.2.9 s.dev",
    );
    assert_eq!(
        json(&spec),
        serde_json::json!({
            "service": "s.dev", "aliases": ["a", "b"], "exposed": ["80/tcp:http"],
            "ports": ["8080:80/tcp", "[::1]::53/udp"], "address": "10.1.0.9", "address6": "fd00::9",
            "mac": "02:00:00:00:00:01", "bridging": true, "vtep": "192.0.2.9",
        })
    );
}

#[test]
fn unusable_lines_are_refused_with_what_is_wrong() {
    for (line, expected) in [
        ("network create", "not provided:\n  <NAME>"),
        (
            "network create --ip-range a/b=10.0.0.0/24 dev",
            "range \"a/b=10.0.0.0/24\" is none: write CIDR, or HOST=CIDR for what is published on one host",
        ),
        (
            "network create --aux-address a=b dev",
            "'--aux-address <NAME=IP>': \"b\" is no IP address",
        ),
        ("network create --aux-address =10.0.0.7 dev", "a name must not be empty"),
        ("network rm", "not provided:\n  <NETWORK>..."),
        ("service attach box", "not provided:\n  <SERVICE[.NETWORK]>"),
        ("run", "not provided:\n  <COMMAND>..."),
        ("exec box", "not provided:\n  <COMMAND>..."),
        ("bench", "not provided:\n  <HOST>"),
        ("frobnicate", "unrecognized subcommand 'frobnicate'"),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn every_command_says_what_it_does_in_a_line() {
    fn check(command: &clap::Command) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n'), "{}", command.get_name());
        assert!(about.chars().count() <= 90, "{about}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

/// Whether people are told of a command: what only the project's own benchmark runs is hidden.
fn is_shown(words: &str) -> bool {
    !words.split(' ').any(|word| word == "generate")
}

#[test]
fn completions_have_every_command_and_option() {
    for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "netctl", &mut script);
        let script = String::from_utf8(script).expect("text");
        for (words, command) in values::commands().iter().filter(|(words, _)| is_shown(words)) {
            assert!(script.contains(command.get_name()), "{shell}: netctl {words}");
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(script.contains(option), "{shell}: netctl {words} --{option}");
            }
        }
    }
}

#[test]
fn every_command_has_a_manual_page_with_its_options() {
    let pages: BTreeMap<String, String> = generate::pages().expect("pages").into_iter().collect();
    let shown = values::commands().into_iter().filter(|(words, _)| is_shown(words));
    let mut expected = BTreeSet::new();
    for (words, command) in shown {
        let file = format!("netctl {words}.1").replace(" .", ".").replace(' ', "-");
        let page = pages.get(&file).expect(&file).replace("\\-", "-");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{option}")), "{file}: --{option}");
        }
        expected.insert(file);
    }
    assert_eq!(pages.into_keys().collect::<BTreeSet<_>>(), expected);
}
