//! Every option and argument that has a value, each with one that is wrong. The command line is walked, so that a new
//! one without a row here is found.

use std::collections::BTreeSet;

use clap::{Arg, Args as _, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use crate::cli::settings::{Options, Settings};

/// Commands, with commas between; what takes a value there; a wrong one; and what is said of that.
type Row = (&'static str, &'static str, &'static str, &'static str);

const NAME: &str = "must consist of letters, digits, '-' and '_' and begin and end with a letter";
const EMPTY: &str = "a value is required for";
const ADDRESS: &str = "invalid IP address syntax";
const MAC: &str = "not six pairs of hexadecimal digits separated by colons";
const PAIR: &str = "expected KEY=VALUE";
const NUMBER: &str = "invalid digit found in string";
const SOCKET: &str = "invalid socket address syntax";
const DETAILS: &str = "service publish, run, network connect";
const SETUP: &str = "sandbox create, run";
const JOINING: &str = "service attach, network connect";
const SETTINGS: &str = "daemon, config show";
const FLOOD: &str = "bench generate flood";
const LOAD: &str = "bench generate run";

const ROWS: &[Row] = &[
    ("", "format", "xml", "[possible values: table, json]"),
    ("network create", "driver", "a/b", "name \"a/b\" must consist of"),
    ("network create", "subnets", "10.1.0.0", ADDRESS),
    ("network create", "ip_ranges", "x", "range \"x\" is none: write CIDR, or HOST=CIDR"),
    ("network create", "gateways", "10.1", ADDRESS),
    ("network create", "aux_addresses", "10.1.0.9", "expected NAME=IP"),
    ("network create", "ipam_driver", "a/b", "must consist of"),
    ("network create", "ipam_options", "choice", PAIR),
    ("network create", "options", "mtu", PAIR),
    ("network create", "labels", "=x", PAIR),
    ("network create, network connect", "name, network", "a.b", NAME),
    ("network ls, network prune", "filters", "x", "expected WHAT=VALUE"),
    ("network inspect, network rm", "names", "", EMPTY),
    ("network connect, network disconnect", "sandbox", "", EMPTY),
    ("network disconnect", "network", "", EMPTY),
    ("network connect", "links", "a", "alias \"a\": write NAME:ALIAS"),
    (DETAILS, "ip", "fd00::9", "invalid IPv4 address syntax"),
    (DETAILS, "ip6", "10.1.0.9", "invalid IPv6 address syntax"),
    (DETAILS, "mac", "02:00", MAC),
    (DETAILS, "ports", "80/icmp", "port \"80/icmp\": the protocol must be"),
    (DETAILS, "exposed", "80/quic", "port \"80/quic\": the protocol must be tcp, udp or sctp"),
    ("service publish, network connect", "aliases", "a.b", NAME),
    ("service publish", "vtep", "h1", ADDRESS),
    ("service publish", "service", "a..b", "service \"a..b\": a name must not be empty"),
    ("service unpublish, service inspect, service detach", "services", "a.", "must not be empty"),
    ("service attach", "service", "a.", "service \"a.\": a name must not be empty"),
    ("service attach", "aliases", "web:a.b", NAME),
    ("service attach, service detach", "sandbox", "", EMPTY),
    (JOINING, "gw_priority", "high", NUMBER),
    (JOINING, "ifname", "a/b", "device name \"a/b\" must have 1 to 15 characters"),
    (JOINING, "sysctls", "kernel.x=1", "they begin with net."),
    ("service ls", "network", "", EMPTY),
    ("sandbox create", "netns", "", "cannot make an empty path absolute"),
    ("sandbox create", "pid", "init", NUMBER),
    ("sandbox create", "name", "a.b", NAME),
    ("run", "name", "a.b", NAME),
    ("run", "services", "a.b.c.d", "has more parts than SERVICE.NETWORK.DRIVER"),
    (SETUP, "dns", "one.one", ADDRESS),
    (SETUP, "dns_search", "a..b", "a..b"),
    (SETUP, "dns_options", "ndots:x", "resolver option \"ndots:x\": write ndots:N with N from 0"),
    (SETUP, "hostname", "a b", "must consist of"),
    (SETUP, "extra_hosts", "db", "host \"db\" has no address: write NAME:IP"),
    (SETUP, "sysctls", "net.x", "sysctl \"net.x\" has no value: write net.NAME=VALUE"),
    ("sandbox inspect, sandbox rm", "names", "", EMPTY),
    ("exec", "sandbox", "", EMPTY),
    ("cni install, cni uninstall", "network", "a.b", NAME),
    ("cni install", "driver", "a/b", "must consist of"),
    ("cni install", "subnets", "10.1.0.0", ADDRESS),
    ("trace", "source", "", EMPTY),
    ("trace", "destination", "", EMPTY),
    ("trace", "port", "0", "0 is not in 1..=65535"),
    ("trace", "proto", "sctp", "[possible values: tcp, udp, icmp]"),
    ("trace", "size", "big", NUMBER),
    ("top", "interval", "0", "write seconds, from 0.1 to 3600"),
    ("top", "interval", "1e9", "write seconds, from 0.1 to 3600"),
    ("top", "interval", "nan", "write seconds, from 0.1 to 3600"),
    ("top", "sort", "age", "[possible values: bytes, packets, drops, name]"),
    ("top", "network", "a.b", NAME),
    ("monitor, capture", "network", "a.b", NAME),
    ("monitor, capture", "service", "a..b", "service \"a..b\": a name must not be empty"),
    (
        "monitor",
        "reason",
        "nonsense",
        "there is no drop reason \"nonsense\"; `netctl counters --all`",
    ),
    ("monitor", "protocol", "icmp6", "\"icmp6\" is no protocol: write tcp, udp, icmp, icmpv6,"),
    ("monitor", "port", "70000", "70000 is not in 0..=65535"),
    ("monitor, capture", "count", "0", "0 is not in 1.."),
    ("capture", "sandbox", "", EMPTY),
    ("capture", "duration", "0", "write seconds, 0.1 at least"),
    ("capture", "snaplen", "0", "0 is not in 1..=262144"),
    ("bench", "host", "a/b", "must consist of"),
    ("doctor", "transfer", "a/b", "must consist of"),
    ("bench", "milliseconds", "1", "1 is not in 100..=10000"),
    ("bench serve", "network", "", EMPTY),
    ("bench serve", "seconds", "0", "0 is not in 1..=3600"),
    ("bench generate serve", "at", "h1", SOCKET),
    (LOAD, "kind", "ping", "[possible values: "),
    ("bench generate run, bench generate flood", "to", "h1", SOCKET),
    ("bench generate run, bench generate flood", "milliseconds", "1s", NUMBER),
    (LOAD, "streams", "many", NUMBER),
    ("bench generate run, bench generate flood", "cpu", "all", NUMBER),
    (LOAD, "server_cpu", "all", NUMBER),
    (FLOOD, "from", "h1", ADDRESS),
    (FLOOD, "vni", "dev", NUMBER),
    (FLOOD, "mac", "02:00", MAC),
    ("completions", "shell", "sh", "[possible values: bash, elvish, fish, powershell, zsh]"),
    (SETTINGS, "docker", "maybe", "[possible values: true, false]"),
    (SETTINGS, "store", "redis:x", "--store \"redis:x\" is not usable: write file"),
    (SETTINGS, "bind_interface", "a/b", "--bind-interface \"a/b\" is not usable: it is no name"),
    (SETTINGS, "vxlan_port", "70000", "70000 is not in 0..=65535"),
    (SETTINGS, "big_tcp", "yes", "it is none of auto, on and off"),
    (SETTINGS, "xdp", "yes", "it is none of auto, on and off"),
    (SETTINGS, "reap_after", "soon", "\"soon\" is no time: write 900s, 15m, 2h, 7d, or never"),
    (SETTINGS, "default_pool", "10.0.0.0/8", "is none: write BASE,SIZE, as in 10.0.0.0/8,24"),
    (SETTINGS, "metrics_listen", "9469", "--metrics-listen \"9469\" is not usable: write an IP"),
    (
        SETTINGS,
        "web_listen",
        "h1",
        "--web-listen \"h1\" is not usable: write a port, an IP address",
    ),
    (SETTINGS, "host_name", "a b", "name \"a b\" must consist of"),
    (SETTINGS, "log", "loud", "--log \"loud\" is not usable: \"loud\" is no level"),
];

/// Whether it takes any text: a path, the words of a command, or what only etcd can tell to be wrong.
fn takes_any_text(argument: &Arg) -> bool {
    let parser = format!("{:?}", argument.get_value_parser());
    ["ValueParser::path_buf", "ValueParser::os_string"].contains(&&*parser)
        || ["store_prefix", "store_user"].contains(&argument.get_id().as_str())
}

/// All commands, by their words.
pub(super) fn commands() -> Vec<(String, Command)> {
    fn walk(command: &Command, words: &str, all: &mut Vec<(String, Command)>) {
        all.push((words.to_owned(), command.clone()));
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, format!("{words} {}", sub.get_name()).trim_start(), all);
        }
    }
    let (mut root, mut all) = (Cli::command(), Vec::new());
    root.build();
    walk(&root, "", &mut all);
    all
}

/// What the command line says where an argument of a command has that value.
fn refusal(words: &str, command: &Command, argument: &Arg, value: &str) -> String {
    let mut line: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    if let Some(long) = argument.get_long() {
        line.push(format!("--{long}={value}"));
    } else {
        let before = |other: &&Arg| other.get_index() < argument.get_index();
        line.extend(command.get_positionals().filter(before).map(|other| {
            let possible = other.get_possible_values();
            possible.first().map_or("x", |value| value.get_name()).to_owned()
        }));
        line.push(value.to_owned());
    }
    let words = || ["netctl".to_owned()].into_iter().chain(line.iter().cloned());
    match Cli::command().try_get_matches_from(words()) {
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{line:?}");
            error.to_string()
        }
        Ok(_) => of_settings(line.last().map(String::as_str).unwrap_or_default()),
    }
}

/// What is said of a setting, where clap took it.
fn of_settings(option: &str) -> String {
    let matches = Options::augment_args(Command::new("netctl"))
        .try_get_matches_from(["netctl", "--host-name=h1", option])
        .expect(option);
    let options = Options::from_arg_matches(&matches).expect(option);
    Settings::new(options).map_or_else(|error| error.to_string(), |_| "it was taken".to_owned())
}

#[test]
fn every_value_that_can_be_wrong_is_refused_by_name() {
    let commands = commands();
    let mut tried: BTreeSet<(String, String)> = BTreeSet::new();
    let mut wrong = Vec::new();
    for (words, names, value, expected) in ROWS {
        for words in words.split(", ") {
            let (_, command) = commands.iter().find(|(other, _)| other == words).expect(words);
            let is_named = |other: &&Arg| names.split(", ").any(|name| other.get_id() == name);
            let Some(argument) = command.get_arguments().find(is_named) else {
                panic!("netctl {words} has no {names}");
            };
            let said = refusal(words, command, argument, value);
            let name = argument.get_long().map_or_else(|| argument.to_string(), str::to_owned);
            if !said.contains(expected) || !said.contains(&name) {
                wrong.push(format!("netctl {words}, {name} {value:?}: {said}"));
            }
            tried.insert((words.to_owned(), argument.get_id().to_string()));
        }
    }
    for (words, command) in &commands {
        let with_values = command.get_arguments().filter(|argument| {
            argument.get_action().takes_values()
                && !takes_any_text(argument)
                && (!argument.is_global_set() || words.is_empty())
        });
        for argument in with_values {
            if !tried.contains(&(words.clone(), argument.get_id().to_string())) {
                wrong.push(format!("netctl {words}, {argument}: no wrong value is tried"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
