//! Where the state is.

use super::{Finding, Patient, SKEW, clock, unseen};
use crate::model::{AuditView, HostName, StoreProbeView};

/// From when on a store is slow, in milliseconds: half of a second is felt by everybody who makes a container.
const SLOW: u64 = 500;

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    if !patient.alive {
        return Err("the daemon is down, which tries it out".to_owned());
    }
    let probe = patient.client.probe_store().await.map_err(unseen)?;
    let status = patient.client.status().await.map_err(unseen)?;
    let place = probe.place.clone();
    let ahead = tokio::task::spawn_blocking(move || clock::ahead(&place)).await.map_err(unseen)?;
    Ok(judge(patient.host(), &probe, status.audit, ahead))
}

fn judge(
    host: &HostName,
    probe: &StoreProbeView,
    audit: Option<AuditView>,
    ahead: Option<i64>,
) -> Vec<Finding> {
    let StoreProbeView { place, read_ms, read_error, write_ms, write_error } = probe;
    let finding =
        |id, what: String, why, mend| Finding::new(id, place.clone(), what, why, host, mend);
    // All that etcdctl has to be told of where it is; a file's directory otherwise.
    let etcd = place.strip_prefix("etcd ").map(|urls| format!("etcdctl --endpoints {urls}"));
    let file = place.strip_prefix("file ").unwrap_or(place);
    let mut found = Vec::new();
    match (read_error, write_error) {
        (Some(error), _) => found.push(finding(
            "store-unreachable",
            error.clone(),
            "packets flow and names resolve, but nothing can be changed",
            etcd.map_or_else(|| format!("ls -l {file}"), |etcd| format!("{etcd} endpoint health")),
        )),
        (None, Some(error)) if is_full(error) => found.push(finding(
            "store-full",
            format!("the store at {place} is full ({error})"),
            "nothing can be changed, and hosts that miss a beat are taken for dead",
            etcd.map_or_else(
                || format!("df -h {file}    # and make room"),
                |etcd| format!("{etcd} defrag && {etcd} alarm disarm"),
            ),
        )),
        (None, Some(error)) => found.push(finding(
            "store-read-only",
            format!("the store at {place} can be read and not be changed: {error}"),
            "nothing can be changed, and hosts that miss a beat are taken for dead",
            etcd.map_or_else(
                || format!("ls -l {file}"),
                |etcd| format!("{etcd} endpoint status -w table"),
            ),
        )),
        (None, None) if *read_ms.max(write_ms) >= SLOW => found.push(finding(
            "store-slow",
            format!("the store at {place} took {read_ms} ms to read and {write_ms} ms to write"),
            "all that is made or changed waits for it",
            etcd.map_or_else(
                || format!("df -h {file}"),
                |etcd| format!("{etcd} endpoint status -w table"),
            ),
        )),
        (None, None) => {}
    }
    if let Some(seconds) = ahead.filter(|seconds| seconds.unsigned_abs() > SKEW) {
        let (by, way) = (seconds.unsigned_abs(), if seconds > 0 { "before" } else { "behind" });
        found.push(finding(
            "clock-skew",
            format!("the clock of {place} is {by} s {way} this host's"),
            "certificates and times of the one mean something else to the other",
            "timedatectl set-ntp true    # on both machines".to_owned(),
        ));
    }
    if let Some(audit) = audit.filter(|audit| audit.unclear > 0) {
        found.push(finding(
            "store-unclear",
            format!("{} keys of the store cannot be read, or say what others deny", audit.unclear),
            "somebody else has written to it, and what they are about may not work",
            "journalctl -u netctl -g 'only people can settle'".to_owned(),
        ));
    }
    found
}

/// Whether it is for want of room: of etcd's quota, or of a disk.
fn is_full(error: &str) -> bool {
    ["database space exceeded", "disk is full", "No space left"]
        .iter()
        .any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(place: &str, read: Option<&str>, write: Option<&str>, ms: u64) -> StoreProbeView {
        StoreProbeView {
            place: place.to_owned(),
            read_ms: ms,
            read_error: read.map(ToOwned::to_owned),
            write_ms: 1,
            write_error: write.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn each_fault_of_the_store_is_named_with_what_mends_it() {
        let host = "h1".parse().expect("a name");
        let audit = |unclear| Some(AuditView { at: 0, freed: 3, put_back: 1, unclear });
        let (etcd, file) = ("etcd http://a:2379", "file /var/lib/netctl/store.db");
        let space = "etcdserver: mvcc: database space exceeded";
        for (probe, unclear, expected) in [
            (probe(etcd, None, None, 499), 0, None),
            (
                probe(etcd, Some("away"), Some("away"), 3000),
                0,
                Some(("store-unreachable", "etcdctl --endpoints http://a:2379 endpoint health")),
            ),
            (
                probe(etcd, None, Some(space), 1),
                0,
                Some((
                    "store-full",
                    "etcdctl --endpoints http://a:2379 defrag && \
                     etcdctl --endpoints http://a:2379 alarm disarm",
                )),
            ),
            (
                probe(file, None, Some("database or disk is full"), 1),
                0,
                Some(("store-full", "df -h /var/lib/netctl/store.db    # and make room")),
            ),
            (
                probe(file, None, Some("attempt to write a readonly database"), 1),
                0,
                Some(("store-read-only", "ls -l /var/lib/netctl/store.db")),
            ),
            (
                probe(etcd, None, None, 500),
                0,
                Some(("store-slow", "etcdctl --endpoints http://a:2379 endpoint status -w table")),
            ),
            (
                probe(etcd, None, None, 1),
                2,
                Some(("store-unclear", "journalctl -u netctl -g 'only people can settle'")),
            ),
        ] {
            let found = judge(&host, &probe, audit(unclear), Some(-5));
            let found: Vec<_> = found.iter().map(|f| (f.id, f.mend.as_str())).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
        for (ahead, expected) in [
            (6, "the clock of etcd http://a:2379 is 6 s before this host's"),
            (-3600, "the clock of etcd http://a:2379 is 3600 s behind this host's"),
        ] {
            let found = judge(&host, &probe(etcd, None, None, 1), audit(0), Some(ahead));
            let found: Vec<_> = found.iter().map(|f| (f.id, f.what.as_str())).collect();
            assert_eq!(found, [("clock-skew", expected)]);
        }
    }
}
