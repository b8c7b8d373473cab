//! What drivers are told, and cannot do.

use anyhow::Result;

use super::{case, furnished, no_driver, refuse};

/// Each driver, each of its options with a wrong value, under our name or Docker's.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_drivers_cannot_do_is_named() -> Result<()> {
    let lab = furnished()?;
    let common = "mtu, allow-overlap, port-security, icc, masquerade, gateway-mode, gateway-mode-ipv4, \
                  gateway-mode-ipv6, host-binding";
    let switch = "it is on or off, or true or false";
    let mode = "it is nat or routed";
    let vni = "a VNI is a number within 1 and 16777215";
    let mtu = "an MTU is within 68 and 65535 bytes";
    let mtu6 = "an MTU for IPv6 is within 1280 and 65535 bytes";
    let no_addresses = |driver: &str| {
        format!(
            "driver {driver} gives no addresses: leave out --subnet, --ipv6, --ip-range, --gateway, \
             --aux-address and --ipam-opt"
        )
    };
    refuse(
        &lab,
        lab.host(1),
        &[
            case("network create -d ether x", 1, no_driver(&lab)),
            case("network create -d null --subnet 10.9.0.0/24 x", 1, no_addresses("null")),
            case("network create -d null --ipv6 x", 1, no_addresses("null")),
            case("network create -d host --subnet 10.9.0.0/24 x", 1, no_addresses("host")),
            // The one that a host can have is there.
            case(
                "network create -d null x",
                1,
                "host h1 has network none of driver null already, and can have no second: use that one",
            ),
            case(
                "network create -d null -o vni=7 x",
                1,
                "driver null has no option vni: it has none",
            ),
            case(
                "network create -d host -o mtu=1400 x",
                1,
                "driver host has no option mtu: it has none",
            ),
            case(
                "network create -o colour=blue x",
                1,
                format!("driver overlay has no option colour: it has vni, {common}, peers"),
            ),
            case(
                "network create -d bridge -o vni=7 x",
                1,
                format!("driver bridge has no option vni: it has {common}"),
            ),
            case(
                "network create -d bridge -o com.docker.network.bridge.name=br0 x",
                1,
                format!(
                    "driver bridge has no option com.docker.network.bridge.name: it has {common}"
                ),
            ),
            case(
                "network create -o mtu=1400 -o com.docker.network.driver.mtu=1400 x",
                1,
                "options mtu and com.docker.network.driver.mtu are the same: give one of them",
            ),
            case("network create -o vni=0 x", 1, format!("option vni=0: {vni}")),
            case("network create -o vni=16777216 x", 1, format!("option vni=16777216: {vni}")),
            case("network create -o vni=-1 x", 1, format!("option vni=-1: {vni}")),
            case(
                "network create -o com.docker.network.driver.overlay.vxlanid_list=7,8 x",
                1,
                "option com.docker.network.driver.overlay.vxlanid_list=7,8: a network has one VNI for all its \
                 subnets: give one",
            ),
            case(
                "network create -o encrypted= x",
                1,
                "option encrypted=: netctl does not encrypt what is between hosts: leave the option out, and have \
                 the underlay encrypted where it must be",
            ),
            case("network create -o mtu=67 x", 1, format!("option mtu=67: {mtu}")),
            case(
                "network create -d bridge -o com.docker.network.driver.mtu=big x",
                1,
                "option com.docker.network.driver.mtu=big: it is a number of bytes",
            ),
            case("network create -d bridge -o mtu=65536 x", 1, format!("option mtu=65536: {mtu}")),
            case("network create --ipv6 -o mtu=1279 x", 1, format!("option mtu=1279: {mtu6}")),
            case(
                "network create --subnet fd00:1::/64 -o mtu=1279 x",
                1,
                format!("option mtu=1279: {mtu6}"),
            ),
            case(
                "network create -o port-security=no x",
                1,
                format!("option port-security=no: {switch}"),
            ),
            case(
                "network create -o allow-overlap=maybe x",
                1,
                format!("option allow-overlap=maybe: {switch}"),
            ),
            case(
                "network create -d bridge -o com.docker.network.bridge.enable_icc=never x",
                1,
                format!("option com.docker.network.bridge.enable_icc=never: {switch}"),
            ),
            case("network create -o masquerade= x", 1, format!("option masquerade=: {switch}")),
            case(
                "network create -d bridge -o com.docker.network.bridge.gateway_mode_ipv4=isolated x",
                1,
                format!("option com.docker.network.bridge.gateway_mode_ipv4=isolated: {mode}"),
            ),
            case(
                "network create -o gateway-mode=NAT x",
                1,
                format!("option gateway-mode=NAT: {mode}"),
            ),
            case(
                "network create -o com.docker.network.bridge.host_binding_ipv4=eth0 x",
                1,
                "option com.docker.network.bridge.host_binding_ipv4=eth0: invalid IP address syntax",
            ),
            case(
                "network create -o host-binding=224.0.0.1 x",
                1,
                "option host-binding=224.0.0.1: no host has a group's address: give one of the host's",
            ),
        ],
    )?;
    lab.end()
}
