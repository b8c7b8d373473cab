//! The way out: our table of nftables, what others' tables do to it, and whether gateways forward.

use super::{Finding, Patient, RESTART, unseen};
use crate::{
    controller::{Ways, ways},
    drivers::is_gateway,
    model::HostName,
};

struct Facts {
    ways: Ways,
    /// The gateways' devices that forward IPv4.
    forwarding: Vec<String>,
    /// Those that are there.
    gateways: Vec<String>,
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let netns = patient.netlink.netns();
    let ways = ways(netns).await.map_err(unseen)?;
    let links = patient.netlink.links().await.map_err(unseen)?;
    let gateways: Vec<String> =
        links.into_iter().map(|link| link.name).filter(|name| is_gateway(name)).collect();
    let mut forwarding = Vec::new();
    for gateway in &gateways {
        // One that goes meanwhile forwards nothing.
        let set = netns.sysctl(&format!("ipv4/conf/{gateway}/forwarding")).await;
        if set.is_ok_and(|value| value == "1") {
            forwarding.push(gateway.clone());
        }
    }
    Ok(judge(patient.host(), &Facts { ways, forwarding, gateways }))
}

fn judge(host: &HostName, facts: &Facts) -> Vec<Finding> {
    let Facts { ways, forwarding, gateways } = facts;
    let mut found = Vec::new();
    if !ways.table && !forwarding.is_empty() {
        found.push(Finding::new(
            "table-missing",
            "inet netctl",
            "the table inet netctl of nftables is gone",
            "containers' packets leave with addresses that nobody can answer, and nothing guards them",
            host,
            RESTART,
        ));
    }
    if ways.altered {
        found.push(Finding::new(
            "table-altered",
            "inet netctl",
            "the table inet netctl of nftables has other rules than netctl wrote",
            "what they let through or translate is not what networks say",
            host,
            RESTART,
        ));
    }
    if !ways.lacking.is_empty() {
        let script = ways.lacking.trim_end().replace('\n', "; ");
        found.push(Finding::new(
            "forward-dropped",
            "FORWARD",
            "the policy of FORWARD in iptables is to drop, and nothing lets netctl's devices pass",
            "networks have no way out and published ports are not reached",
            host,
            format!("nft '{script}'"),
        ));
    }
    let closed = ways.out.iter().filter(|d| gateways.contains(d) && !forwarding.contains(d));
    found.extend(closed.map(|device| {
        Finding::new(
            "forwarding-off",
            device,
            format!("{device}, the gateway of a network with a way out, does not forward"),
            "the network has no way out",
            host,
            format!("sysctl -w net.ipv4.conf.{device}.forwarding=1"),
        )
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_the_way_out_is_named() {
        let host = "h1".parse().expect("a name");
        let nh = || vec!["nh-001000".to_owned()];
        let sound = || Facts {
            ways: Ways { table: true, out: nh(), ..Ways::default() },
            forwarding: nh(),
            gateways: nh(),
        };
        let judged = |change: fn(&mut Facts)| {
            let mut facts = sound();
            change(&mut facts);
            let found = judge(&host, &facts);
            found.into_iter().map(|finding| (finding.id, finding.mend)).collect::<Vec<_>>()
        };
        assert_eq!(judged(|_| {}), []);
        // A host without ways out has no table.
        assert_eq!(
            judged(|facts| {
                facts.ways = Ways::default();
                facts.forwarding.clear();
            }),
            []
        );
        let restart = RESTART.to_owned();
        assert_eq!(
            judged(|facts| facts.ways = Ways::default()),
            [("table-missing", restart.clone())]
        );
        assert_eq!(judged(|facts| facts.ways.altered = true), [("table-altered", restart)]);
        assert_eq!(
            judged(|facts| facts.ways.lacking = "add rule a\nadd rule b\n".to_owned()),
            [("forward-dropped", "nft 'add rule a; add rule b'".to_owned())]
        );
        assert_eq!(
            judged(|facts| facts.forwarding.clear()),
            [("forwarding-off", "sysctl -w net.ipv4.conf.nh-001000.forwarding=1".to_owned())]
        );
    }
}
