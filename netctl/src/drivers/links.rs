//! How links are called, so that whose they are can be told from the host's links alone.

use crate::model::{EndpointId, Vni};

const PORT: &str = "nc";
const GATEWAY: &str = "nh-";
const GATEWAY_PORT: &str = "np-";

/// The host's side of an endpoint's interface: 14 of the 15 characters that a name may have (`IFNAMSIZ`).
pub(super) fn port(endpoint: &EndpointId) -> String {
    format!("{PORT}{}", endpoint.short())
}

/// The device that carries a network's gateway address.
pub(super) fn gateway(vni: Vni) -> String {
    format!("{GATEWAY}{:06x}", vni.get())
}

/// The data plane's end of that device.
pub(super) fn gateway_port(vni: Vni) -> String {
    format!("{GATEWAY_PORT}{:06x}", vni.get())
}

/// Whether a link of this name is of our making.
pub fn is_ours(name: &str) -> bool {
    let hex = |rest: &str, digits: usize| {
        rest.len() == digits && rest.bytes().all(|c| c.is_ascii_hexdigit())
    };
    name.strip_prefix(GATEWAY).or(name.strip_prefix(GATEWAY_PORT)).is_some_and(|rest| hex(rest, 6))
        || name.strip_prefix(PORT).is_some_and(|rest| hex(rest, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_told_from_others() {
        let names =
            [port(&EndpointId::random()), gateway(Vni::MAX), gateway_port(Vni::FIRST_AUTOMATIC)];
        assert_eq!(names[1..], ["nh-ffffff", "np-001000"]);
        for name in names {
            assert!(name.len() <= 15 && is_ours(&name), "{name}");
        }
        for name in [
            "eth0",
            "nc",
            "nc0123456789zz",
            "nh-12345",
            "nh-123456789",
            "np-00000g",
            "ncdevice",
            "",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
