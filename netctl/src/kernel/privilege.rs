//! Whether this process may change networking and load programs.

use std::fs;

use super::Error;

/// Numbers of `linux/capability.h`.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (39, "CAP_BPF")];

/// # Errors
/// [`Error::Unprivileged`] naming what is missing.
pub fn check_privileges() -> Result<(), Error> {
    let status = fs::read_to_string("/proc/self/status").map_err(|source| Error::Path {
        doing: "read",
        path: "/proc/self/status".into(),
        source,
    })?;
    let missing = missing_from(&status);
    if missing.is_empty() { Ok(()) } else { Err(Error::Unprivileged { missing }) }
}

fn missing_from(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::missing_from;

    #[test]
    fn missing_capabilities_are_named() {
        for (capabilities, missing) in [
            ("000001ffffffffff", &[][..]),
            ("0000008000201000", &[]),
            ("0000000000201000", &["CAP_BPF"]),
            ("0000008000200000", &["CAP_NET_ADMIN"]),
            ("0000008000001000", &["CAP_SYS_ADMIN"]),
            ("0000000000000000", &["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_BPF"]),
        ] {
            let status = format!("Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t{capabilities}\n");
            assert_eq!(missing_from(&status), missing, "{capabilities}");
        }
    }
}
