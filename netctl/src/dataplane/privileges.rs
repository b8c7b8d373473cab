//! What the process is allowed to do, asked before anything is done.

use super::Error;

/// The capabilities that the data plane needs, with their numbers (`include/uapi/linux/capability.h`): to attach, to
/// mount and to look at programs, to load.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (39, "CAP_BPF")];

/// Refuses a thread that lacks one of them.
pub(super) fn check() -> Result<(), Error> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    match missing(&status) {
        Some(missing) => Err(Error::Privileges { missing }),
        None => Ok(()),
    }
}

/// The needed capabilities that are not in the effective set of a thread's status (`proc_pid_status(5)`).
///
/// Where the set cannot be told, nothing is said to be missing: the kernel will refuse by itself.
fn missing(status: &str) -> Option<String> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let set = u64::from_str_radix(set.trim(), 16).ok()?;
    let names = NEEDED.iter().filter(|(bit, _)| set >> bit & 1 == 0).map(|&(_, name)| name);
    let names: Vec<&str> = names.collect();
    if names.is_empty() { None } else { Some(names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        for (status, expected) in [
            ("CapEff:\t000001ffffffffff\n", None),
            ("CapEff:\t000001fffeffffff\n", None),
            ("CapEff:\t0000000000000000\n", Some("CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF")),
            ("CapEff:\t0000008000001000\n", Some("CAP_SYS_ADMIN")),
            ("Name:\tx\n", None),
        ] {
            assert_eq!(missing(status).as_deref(), expected, "{status:?}");
        }
    }
}
