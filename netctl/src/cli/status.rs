//! `netctl status`.

use super::{Context, Result, host::age, table::fields};
use crate::model::{AuditView, NamesView, StatusView};

pub(super) async fn run(Context { client, output }: &Context) -> Result {
    output.show(&client.status().await?, text)
}

fn text(status: &StatusView) -> String {
    let store = match (&status.store_error, status.store_error_since) {
        (Some(error), Some(since)) => {
            format!("{}, not usable for {}: {error}", status.store, age(since))
        }
        (Some(error), None) => format!("{}, not usable: {error}", status.store),
        (None, _) => status.store.clone(),
    };
    let merged = if status.merged_datagrams {
        "the kernel could take the tunnel off merged datagrams in the fast path"
    } else {
        "merged datagrams go by the kernel's vxlan device"
    };
    fields([
        ("Host", status.host.to_string()),
        ("Version", status.version.clone()),
        ("Up", age(status.started)),
        ("Store", store),
        ("Underlay", format!("{} {} mtu {}", status.underlay, status.vteps, status.underlay_mtu)),
        ("VXLAN port", status.vxlan_port.to_string()),
        ("BIG TCP", status.big_tcp.to_string()),
        ("XDP filter", status.xdp.to_string()),
        ("UDP GRO", merged.to_owned()),
        ("Next hops", format!("{} of {} hosts", status.next_hops, status.tunnels)),
        ("Networks", status.networks.to_string()),
        ("Endpoints", status.endpoints.to_string()),
        ("Sandboxes", status.sandboxes.to_string()),
        ("Names", names(&status.names)),
        ("Audit", audit(status.audit)),
        ("BPF", status.bpf_dir.display().to_string()),
    ])
}

/// What did not go well is said where there is any of it.
fn names(names: &NamesView) -> String {
    let NamesView { queries, malformed, forwarded, failed, refused } = *names;
    let faults = [(failed, "failed"), (refused, "refused"), (malformed, "malformed")];
    let faults = faults.into_iter().filter(|(count, _)| *count > 0);
    let mut words = vec![format!("{queries} queries"), format!("{forwarded} forwarded")];
    words.extend(faults.map(|(count, what)| format!("{count} {what}")));
    words.join(", ")
}

/// What the daemon found in the store that nobody holds.
fn audit(audit: Option<AuditView>) -> String {
    let Some(AuditView { at, freed, put_back, unclear }) = audit else {
        return "not yet".to_owned();
    };
    let found =
        [(freed, "freed"), (put_back, "put back"), (unclear, "unclear, see the daemon's log")];
    let found = found.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = found.map(|(count, what)| format!("{count} {what}")).collect();
    let words = if words.is_empty() { "all keys are held".to_owned() } else { words.join(", ") };
    format!("{words}, looked {} ago", age(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_said_with_the_reason() {
        let status: StatusView = serde_json::from_value(serde_json::json!({
            "version": "0.1.0", "host": "h1", "underlay": "eth0", "vteps": ["192.168.0.1"],
            "underlay_mtu": 1500, "vxlan_port": 4789,
            "big_tcp": { "on": false, "why": "switched off" }, "tunnels": 3, "merged_datagrams": false,
            "xdp": { "on": false, "why": "as was asked" }, "next_hops": 2,
            "store": "etcd http://10.0.0.1:2379",
            "store_error": "connection refused", "networks": 1, "endpoints": 2, "sandboxes": 3,
            "audit": { "at": 0, "freed": 3, "put_back": 0, "unclear": 1 },
            "names": { "queries": 9, "malformed": 1, "forwarded": 4, "failed": 2, "refused": 0 },
            "bpf_dir": "/sys/fs/bpf/netctl", "started": 0,
        }))
        .expect("a status");
        let text = text(&status);
        let expected = "Store:       etcd http://10.0.0.1:2379, not usable: connection refused\n\
                        Underlay:    eth0 192.168.0.1 mtu 1500\n";
        assert!(text.contains(expected), "{text}");
        let expected = "Names:       9 queries, 4 forwarded, 2 failed, 1 malformed\n";
        assert!(text.contains(expected), "{text}");
        let expected = "Audit:       3 freed, 1 unclear, see the daemon's log, looked ";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("BIG TCP:     off, switched off\n"), "{text}");
    }
}
