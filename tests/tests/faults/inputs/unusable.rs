//! What nobody can have.

use anyhow::Result;

use super::{case, furnished, refuse};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_unusable_is_named() -> Result<()> {
    let lab = furnished()?;
    let long = "x".repeat(64);
    let value = |value: &str, argument: &str, why: &str| {
        format!("invalid value '{value}' for '{argument}': {why}")
    };
    let label = |name: &str| {
        format!(
            "name {name:?} must consist of letters, digits, '-' and '_' and begin and end with a letter or digit"
        )
    };
    let outside = |what: &str, value: &str| {
        format!("{what} {value} is not a usable address of subnet 10.9.0.0/24")
    };
    let too_long = format!("network create {long}");
    refuse(
        &lab,
        lab.host(1),
        &[
            case(
                "network create --subnet 10.9.0.1/24 x",
                1,
                "subnet 10.9.0.1/24 has host bits set; did you mean 10.9.0.0/24?",
            ),
            case(
                "network create --subnet 10.9.0.0/31 x",
                1,
                "subnet 10.9.0.0/31 is too small: it needs room for a gateway and an endpoint",
            ),
            case(
                "network create --subnet 224.0.0.0/24 x",
                1,
                "subnet 224.0.0.0/24 is not of unicast addresses",
            ),
            case(
                "network create --subnet fd00:1::1/64 x",
                1,
                "subnet fd00:1::1/64 has host bits set; did you mean fd00:1::/64?",
            ),
            case(
                "network create --subnet fe80::/64 x",
                1,
                "subnet fe80::/64 is of link-local or IPv4-mapped addresses: choose another",
            ),
            case(
                "network create --subnet fd00:1::/64 --gateway fd00:1:: x",
                1,
                "gateway fd00:1:: is not a usable address of subnet fd00:1::/64",
            ),
            case(
                "network create --ipv6 --gateway fd00:1::1 x",
                1,
                "gateway fd00:1::1 lies in no --subnet that has none yet",
            ),
            case(
                "network create --subnet 10.9.0.0/40 x",
                2,
                value("10.9.0.0/40", "--subnet <CIDR>", "invalid IP address syntax"),
            ),
            case(
                "network create --subnet 10.9.0.0/24 --ip-range 10.8.0.0/25 x",
                1,
                "ip-range 10.8.0.0/25 lies in no --subnet that has none yet",
            ),
            case(
                "network create --subnet 10.9.0.0/24 --gateway 10.8.0.1 x",
                1,
                "gateway 10.8.0.1 lies in no --subnet that has none yet",
            ),
            case(
                "network create --subnet 10.9.0.0/24 --gateway 10.9.0.0 x",
                1,
                outside("gateway", "10.9.0.0"),
            ),
            case(
                "network create --subnet 10.9.0.0/24 --gateway 10.9.0.255 x",
                1,
                outside("gateway", "10.9.0.255"),
            ),
            case(
                "network create --ip-range 10.9.0.0/25 x",
                1,
                "ip-range 10.9.0.0/25 lies in no --subnet that has none yet",
            ),
            case(
                "network create -o vni x",
                2,
                value("vni", "--opt <KEY=VALUE>", "expected KEY=VALUE"),
            ),
            case("network create ''", 2, value("", "<NAME>", "a name must not be empty")),
            case("network create a.b", 2, value("a.b", "<NAME>", &label("a.b"))),
            case("network create -- -a", 2, value("-a", "<NAME>", &label("-a"))),
            case("network create häuser", 2, value("häuser", "<NAME>", &label("häuser"))),
            case(
                &too_long,
                2,
                value(&long, "<NAME>", &format!("name {long:?} is longer than 63 characters")),
            ),
            case(
                "service publish a.b.c.d",
                2,
                value(
                    "a.b.c.d",
                    "<SERVICE.NETWORK>",
                    "service \"a.b.c.d\" has more parts than SERVICE.NETWORK.DRIVER",
                ),
            ),
            case(
                "service publish a..dev",
                2,
                value(
                    "a..dev",
                    "<SERVICE.NETWORK>",
                    "service \"a..dev\": a name must not be empty",
                ),
            ),
            case("service publish x", 1, "service x names no network: write x.NETWORK"),
            case(
                "service publish x.dev.overlay",
                1,
                "service x.dev.overlay names driver overlay, which only `netctl run --publish-service` takes: \
                 write SERVICE.NETWORK",
            ),
            case(
                "run --publish-service x -- true",
                1,
                "service x names no network: write x.NETWORK[.DRIVER]",
            ),
            case(
                "service publish --ip 10.79.0.9 x.dev",
                1,
                "address 10.79.0.9 is in no subnet of network dev, which has 10.77.0.0/24",
            ),
            case(
                "service publish --ip 10.77.0.0 x.dev",
                1,
                "address 10.77.0.0 is not a usable address of subnet 10.77.0.0/24",
            ),
            case(
                "service publish --ip 10.77.0.255 x.dev",
                1,
                "address 10.77.0.255 is not a usable address of subnet 10.77.0.0/24",
            ),
            case(
                "service publish --ip fd00::1 x.dev",
                2,
                value("fd00::1", "--ip <IP>", "invalid IPv4 address syntax"),
            ),
            case(
                "service publish --ip6 10.77.0.9 x.dev",
                2,
                value("10.77.0.9", "--ip6 <IP6>", "invalid IPv6 address syntax"),
            ),
            case(
                "service publish --ip6 fd00::1 x.dev",
                1,
                "address fd00::1 is in no subnet of network dev, which has 10.77.0.0/24",
            ),
            case(
                "run --ip 10.77.0.9 --publish-service x.dev --publish-service y.dev -- true",
                2,
                "--publish, --ip, --ip6, --mac and --bridging are for one service: give --publish-service once",
            ),
            case(
                "run --bridging -- true",
                2,
                "--publish, --ip, --ip6, --mac and --bridging are for one service: give --publish-service once",
            ),
            case(
                "service publish --ip 10.77.0.300 x.dev",
                2,
                value("10.77.0.300", "--ip <IP>", "invalid IPv4 address syntax"),
            ),
            case(
                "service publish --ip 10.77.0.9 x.none",
                1,
                "network none gives no addresses: leave out --ip, --ip6, --mac and --bridging",
            ),
            case(
                "service publish --mac 02:00 x.dev",
                2,
                value(
                    "02:00",
                    "--mac <MAC>",
                    "not six pairs of hexadecimal digits separated by colons",
                ),
            ),
            case(
                "service publish --mac 00:00:00:00:00:00 x.dev",
                2,
                value("00:00:00:00:00:00", "--mac <MAC>", "all zeroes"),
            ),
            case(
                "service publish --mac 01:00:5e:00:00:01 x.dev",
                2,
                value(
                    "01:00:5e:00:00:01",
                    "--mac <MAC>",
                    "a group address, which no single endpoint can have",
                ),
            ),
            case(
                "service publish --mac ff:ff:ff:ff:ff:ff x.dev",
                2,
                value(
                    "ff:ff:ff:ff:ff:ff",
                    "--mac <MAC>",
                    "a group address, which no single endpoint can have",
                ),
            ),
        ],
    )?;
    lab.end()
}
