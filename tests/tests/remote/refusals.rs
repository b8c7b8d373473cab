//! Plugins that say no, or something that cannot be used: the command fails with their words, and nothing is left.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::eventually;

use crate::{Plugin, Resting, lab, ok, refused};

const SAYS_NO: [(&str, &str); 3] = [
    ("err", "plugin cable refuses NetworkDriver.METHOD: out of cables"),
    ("err500", "plugin cable refuses NetworkDriver.METHOD: out of cables"),
    ("notfound", "plugin cable does not know NetworkDriver.METHOD"),
];
const UNUSABLE: [(&str, &str); 2] = [
    (
        "garbage",
        "plugin cable answered NetworkDriver.METHOD with what cannot be used: expected value at line 1 column 1",
    ),
    ("empty", "plugin cable answered NetworkDriver.METHOD with what cannot be used: it is empty"),
];

#[test]
fn a_network_that_a_plugin_refuses_is_not_there() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "cable")?;
    for (kind, sentence) in SAYS_NO.into_iter().chain(UNUSABLE) {
        plugin.behave("NetworkDriver.CreateNetwork", kind)?;
        let sentence = sentence.replace("METHOD", "CreateNetwork");
        refused(host, "network create -d cable far", &sentence).context(kind)?;
        resting.check(&lab, &plugin).context(kind)?;
    }
    plugin.be_good()?;
    ok(host, "network create -d cable far")?;
    ok(host, "network rm far")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

#[test]
fn an_attachment_that_a_plugin_refuses_is_taken_back() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let plugin = Plugin::start(host, "cable")?;
    let empty = Resting::of(&lab)?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ok(host, "sandbox create box")?;
    ok(host, "service publish a.far")?;
    let made = Resting::of(&lab)?;
    let network = plugin.state()?;
    let mut cases = Vec::new();
    for method in ["CreateEndpoint", "Join"] {
        for (kind, sentence) in SAYS_NO {
            cases.push((method, kind, sentence.replace("METHOD", method)));
        }
        for (kind, sentence) in UNUSABLE {
            cases.push((method, kind, sentence.replace("METHOD", method) + "; rolled back"));
        }
    }
    for (method, kind, sentence) in [
        (
            "CreateEndpoint",
            "change",
            "plugin cable answered NetworkDriver.CreateEndpoint with what cannot be used: it changes the Address, \
             which it was given, to 10.1.2.3/24; rolled back",
        ),
        (
            "Join",
            "bad-gateway",
            "plugin cable answered NetworkDriver.Join with what cannot be used: Gateway \"10.0.0.0/8\" is no address \
             of a router; rolled back",
        ),
        (
            "Join",
            "no-device",
            "network far: the device of plugin cable: there is no interface nowhere in this network namespace",
        ),
    ] {
        cases.push((method, kind, sentence.to_owned()));
    }
    for kind in ["err", "err500"] {
        let method = "ProgramExternalConnectivity";
        cases.push((method, kind, SAYS_NO[0].1.replace("METHOD", method)));
    }
    for (method, kind, sentence) in cases {
        let what = || format!("{method} {kind}");
        plugin.behave(&format!("NetworkDriver.{method}"), kind)?;
        refused(host, "service attach box a.far", &sentence).with_context(what)?;
        let left = || {
            let now = Resting::of(&lab)?;
            anyhow::ensure!(now.keys == made.keys && now.links == made.links, "{:?}", now.links);
            anyhow::ensure!(plugin.state()? == network, "{:?}", plugin.state()?);
            Ok(())
        };
        eventually("nothing is left", Duration::from_secs(5), left).with_context(what)?;
    }
    // A driver need not know of ways out.
    plugin.behave("NetworkDriver.ProgramExternalConnectivity", "notfound")?;
    ok(host, "service attach box a.far")?;
    for words in ["sandbox rm box", "service unpublish a.far", "network rm far"] {
        ok(host, words)?;
    }
    empty.check(&lab, &plugin)?;
    lab.end()
}
