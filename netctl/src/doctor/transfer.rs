//! Large TCP to another host: what corrupts or loses the packets that devices cut passes every ping.

use super::{Family, Finding, Report};
use crate::model::HostName;

/// The share of the underlay's rate below which something is broken, and not only slow.
const BROKEN: f64 = 0.2;

/// What came of transfers to another host.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The host.
    pub to: HostName,
    /// The underlay device of this host.
    pub device: String,
    /// The rate by an overlay network, in bits a second.
    pub overlay: f64,
    /// The rate by the underlay, in bits a second.
    pub underlay: f64,
}

impl Report {
    /// Adds what a transfer tells.
    pub fn add_transfer(&mut self, transfer: &Transfer) {
        let found = judge(&self.host, transfer);
        self.add(Family::Transfer, Ok(found.into_iter().collect()));
    }
}

fn judge(host: &HostName, transfer: &Transfer) -> Option<Finding> {
    let Transfer { to, device, overlay, underlay } = transfer;
    let megabits = |rate: f64| format!("{:.1} Mb/s", rate / 1e6);
    let finding = |id, what, why, mend| Some(Finding::new(id, to.as_str(), what, why, host, mend));
    if *underlay == 0.0 {
        return finding(
            "tcp-stalls-underlay",
            format!("TCP to {to} moves nothing by the underlay itself"),
            "it is nothing of netctl's: hosts do not reach each other, or a firewall drops port 5281 and what follows",
            format!("ip -s link show {device}; ethtool -S {device}"),
        );
    }
    (overlay / underlay < BROKEN)
        .then(|| {
            finding(
                "tcp-stalls",
                format!(
                    "TCP to {to} moves {} in tunnels and {} without",
                    megabits(*overlay),
                    megabits(*underlay)
                ),
                "pings pass and transfers hang: something on the way breaks or loses what devices cut for tunnels",
                format!(
                    "ethtool -K {device} tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off    # on both hosts; \
                     where it helps not: netctl daemon --vxlan-port of another number"
                ),
            )
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_slower_in_tunnels_is_broken() {
        let host = "h1".parse().expect("a name");
        let judged = |overlay, underlay| {
            let to = "h2".parse().expect("a name");
            let device = "eth0".to_owned();
            judge(&host, &Transfer { to, device, overlay, underlay }).map(|finding| finding.id)
        };
        assert_eq!(judged(9e9, 1e10), None);
        assert_eq!(judged(2.5e9, 1e10), None);
        assert_eq!(judged(1e6, 1e10), Some("tcp-stalls"));
        assert_eq!(judged(0.0, 1e10), Some("tcp-stalls"));
        assert_eq!(judged(0.0, 0.0), Some("tcp-stalls-underlay"));
    }
}
