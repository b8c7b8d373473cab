//! What runtimes say, and what they nearly say.

use serde_json::Value;

use super::{
    args::Arguments,
    call::Call,
    config::{Head, Wish},
    result::Success,
    runtime::Wanted,
};
use crate::fuzz::each;

/// Calls that runtimes were seen to make.
const RECORDED: &str = include_str!("../../../tests/tests/cni/recorded.jsonl");

fn recorded() -> Vec<Value> {
    RECORDED.lines().map(|line| serde_json::from_str(line).expect("a call")).collect()
}

#[test]
fn any_configuration_is_read_or_refused() {
    let mut corpus: Vec<String> = recorded().iter().map(|call| call["stdin"].to_string()).collect();
    corpus.sort();
    corpus.dedup();
    corpus.push(
        r#"{"cniVersion":"1.1.0","name":"dev","type":"netctl-cni","subnet":["10.0.0.0/24","fd00::/64"],
            "ipRange":"10.0.0.0/25","gateway":"10.0.0.1","options":{"mtu":"1400"},"ipv6":true,
            "dns":{"nameservers":["10.0.0.9"],"domain":"x.org","search":["y.org"],"options":["ndots:1"]},
            "runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],
            "ips":["10.0.0.2/24"],"mac":"02:42:0a:00:00:02","aliases":{"dev":["web"]}},
            "prevResult":{"interfaces":[],"ips":[],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}}"#
            .to_owned(),
    );
    each(&corpus, |text| {
        let call = Call::read(|_| Err(std::env::VarError::NotPresent), text);
        drop((call.version(), call.verb(), call.attachment()));
        let (Ok(head), Ok(configuration)) = (Head::read(&call), call.configuration()) else {
            return;
        };
        drop(head.valid());
        drop(Wish::read(configuration, &head));
        if let Ok(arguments) = Arguments::read("K8S_POD_NAME=web-0;IgnoreUnknown=1") {
            drop(Wanted::read(configuration, &head, arguments));
        }
        if let Ok(success) = Success::after(&head) {
            assert!(success.into_json().is_object());
        }
    });
}

#[test]
fn any_arguments_are_read_or_refused() {
    let mut corpus: Vec<String> = recorded()
        .iter()
        .filter_map(|call| call["env"]["CNI_ARGS"].as_str().map(str::to_owned))
        .collect();
    corpus
        .extend(["IP=10.0.0.2;MAC=02:42:0a:00:00:02", "IgnoreUnknown=true;a=b"].map(str::to_owned));
    each(&corpus, |text| {
        if let Ok(text) = str::from_utf8(text) {
            drop(Arguments::read(text));
        }
    });
}
