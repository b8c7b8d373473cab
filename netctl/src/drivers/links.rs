//! How links are called, so that whose they are can be told from the host's links alone.

use crate::{
    kernel::Link,
    model::{EndpointId, Vni},
};

const PORT: &str = "nc";
const HANDED: &str = "nd";
const GATEWAY: &str = "nh-";
const GATEWAY_PORT: &str = "np-";
const HEADROOM: &str = "netctl-hr";
const HEADROOM_ASKER: &str = "netctl-hv";

/// The host's side of an endpoint's interface: 14 of the 15 characters that a name may have (`IFNAMSIZ`).
pub fn port(endpoint: &EndpointId) -> String {
    format!("{PORT}{}", endpoint.short())
}

/// The other end of it, until a container engine takes that to where it belongs.
pub fn handed(endpoint: &EndpointId) -> String {
    format!("{HANDED}{}", endpoint.short())
}

/// The device that carries a network's gateway address.
pub(super) fn gateway(vni: Vni) -> String {
    format!("{GATEWAY}{:06x}", vni.get())
}

/// The data plane's end of that device.
pub(super) fn gateway_port(vni: Vni) -> String {
    format!("{GATEWAY_PORT}{:06x}", vni.get())
}

/// The bridge of this number whose ports get headroom.
pub(super) fn headroom(number: u32) -> String {
    format!("{HEADROOM}{number}")
}

/// The device by which that bridge comes to ask for it.
pub(super) fn headroom_asker(number: u32) -> String {
    format!("{HEADROOM_ASKER}{number}")
}

/// The number of the bridge that a link of this name is, or is the asker of.
pub(super) fn headroom_number(name: &str) -> Option<u32> {
    let number = name.strip_prefix(HEADROOM).or(name.strip_prefix(HEADROOM_ASKER))?;
    let number = number.bytes().all(|c| c.is_ascii_digit()).then(|| number.parse().ok())??;
    [headroom(number), headroom_asker(number)].iter().any(|ours| ours == name).then_some(number)
}

/// Whether a link of this name is of our making.
pub fn is_ours(name: &str) -> bool {
    is_of_endpoint(name) || headroom_number(name).is_some()
}

/// Whether a link is of our making by what it is too, and not only called as ours are.
pub fn is_made(link: &Link) -> bool {
    let kind = if is_of_endpoint(&link.name) {
        "veth"
    } else if link.name.starts_with(HEADROOM_ASKER) {
        "vxlan"
    } else {
        "bridge"
    };
    is_ours(&link.name) && link.kind.as_deref() == Some(kind)
}

/// Whether a link of this name is the host's side of a service's interface.
pub fn is_port(name: &str) -> bool {
    is_of_endpoint(name) && name.starts_with(PORT)
}

/// Whether a link of this name is the data plane's end of a gateway's device.
pub fn is_gateway_port(name: &str) -> bool {
    is_of_endpoint(name) && name.starts_with(GATEWAY_PORT)
}

/// Whether a link of this name carries a network's gateway address.
pub fn is_gateway(name: &str) -> bool {
    is_of_endpoint(name) && name.starts_with(GATEWAY)
}

/// Whether it is so because of an endpoint or a network.
pub(super) fn is_of_endpoint(name: &str) -> bool {
    let hex = |rest: &str, digits: usize| {
        rest.len() == digits && rest.bytes().all(|c| c.is_ascii_hexdigit())
    };
    name.strip_prefix(GATEWAY).or(name.strip_prefix(GATEWAY_PORT)).is_some_and(|rest| hex(rest, 6))
        || name.strip_prefix(PORT).or(name.strip_prefix(HANDED)).is_some_and(|rest| hex(rest, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_told_from_others() {
        let endpoint = EndpointId::random();
        let names = [
            port(&endpoint),
            handed(&endpoint),
            gateway(Vni::MAX),
            gateway_port(Vni::FIRST_AUTOMATIC),
        ];
        assert_eq!(names[2..], ["nh-ffffff", "np-001000"]);
        for name in names {
            assert!(name.len() <= 15 && is_ours(&name) && is_of_endpoint(&name), "{name}");
        }
        for name in [headroom(0), headroom_asker(99_999)] {
            assert!(name.len() <= 15 && is_ours(&name) && !is_of_endpoint(&name), "{name}");
        }
        assert_eq!(headroom_number("netctl-hv12"), Some(12));
        for name in [
            "eth0",
            "nc",
            "nc0123456789zz",
            "nh-12345",
            "nh-123456789",
            "np-00000g",
            "ncdevice",
            "netctl-hr",
            "netctl-hr01",
            "netctl-hr+1",
            "netctl-vx",
            "",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
