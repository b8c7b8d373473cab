//! Faults of the store, and of what it says of hosts.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Etcd, Lab, Signal, Store};

use crate::stage::{content, found, lab, mends, names};

fn key(host: &str) -> String {
    format!("/netctl/v1/hosts/{host}")
}

/// Has the store list a host more: as h2 is, but for what is given.
fn list(lab: &Lab, host: &str, differs: &Value) -> Result<()> {
    let etcd = lab.etcd().context("no etcd")?;
    let text = etcd.ctl(["get", "--print-value-only", &key("h2")])?;
    let mut value: Value = serde_json::from_str(text.trim())?;
    value["name"] = json!(host);
    for (field, other) in differs.as_object().context("no object")? {
        value[field] = other.clone();
    }
    etcd.ctl(["put", &key(host), &value.to_string()]).map(drop)
}

fn unlist(lab: &Lab, host: &str) -> Result<()> {
    lab.etcd().context("no etcd")?.ctl(["del", &key(host)]).map(drop)
}

#[test]
fn faults_of_the_store_and_of_hosts_are_named() -> Result<()> {
    let lab = lab(Store::Etcd)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let etcd = lab.etcd().context("no etcd")?;
    let place = format!("etcd {}", Etcd::url());

    // etcd has this alarm when its quota is used up.
    let alarm = r#"{"action": "ACTIVATE", "memberID": "0", "alarm": "NOSPACE"}"#;
    let url = format!("{}/v3/maintenance/alarm", Etcd::url());
    let raise = || etcd.netns().run(["curl", "-sf", "-d", alarm, &url])?.ok().map(drop);
    let etcdctl = format!("etcdctl --endpoints {}", Etcd::url());
    mends(h1, raise, "store-full", &place, &format!("{etcdctl} defrag && {etcdctl} alarm disarm"))?;

    let h9 = json!({"vteps": ["192.0.2.9"]});
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let later = json!({"vteps": ["192.0.2.9"], "started": now + 3600});
    let end = |_: &_| unlist(&lab, "h9");
    names(h1, || list(&lab, "h9", &json!({})), "same-tunnel-address", "h9", "ip -br address", end)?;
    names(h1, || list(&lab, "h9", &later), "clock-skew", "h9", "timedatectl set-ntp true", end)?;
    let mut other = h9.clone();
    other["version"] = json!("0.0.1");
    names(h1, || list(&lab, "h9", &other), "host-other-version", "h9", "apt install netctl", end)?;
    other = h9;
    other["vxlan_port"] = json!(8472);
    names(h1, || list(&lab, "h9", &other), "vxlan-port-differs", "h9", "netctl config show", end)?;

    // A host whose lease was lost, and that does not know it.
    let restart = |_: &_| lab.restart_daemon(h1, Signal::SIGTERM);
    names(h1, || unlist(&lab, "h1"), "host-not-listed", "h1", "systemctl restart netctl", restart)?;
    // One that died.
    let die = || {
        h2.stop_daemon(Signal::SIGKILL)?;
        unlist(&lab, "h2")
    };
    names(h1, die, "host-dead", "h2", "systemctl start netctl", |said| {
        ensure!(said.on == "h2" && said.mend.contains("unpublish -f"), "{said:?}");
        lab.start_daemon(h2)
    })?;
    content(h2)?;
    // And the store itself.
    etcd.stop(Signal::SIGTERM)?;
    let said = found(h1, "store-unreachable", &place)?;
    ensure!(said.mend == format!("{etcdctl} endpoint health"), "{said:?}");
    etcd.start()?;
    content(h1)?;
    lab.end()
}
