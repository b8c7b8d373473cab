//! Ports that cannot be published.

use std::net::{TcpListener, UdpSocket};

use anyhow::Result;

use super::{case, furnished, refuse};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn ports_that_cannot_be_published_are_named() -> Result<()> {
    let lab = furnished()?;
    let host = lab.host(1);
    for words in [
        "network create -d host stack",
        "network create --internal inner",
        "network create -o host-binding=2001:db8::1 bound",
        "service publish -p 8080:80 has.dev",
        "service publish -p 192.0.2.1:8080:80 wants.dev",
        "service publish -p 8000-8001:80 some.dev",
        "service publish -p 8002:80 listens.dev",
        "service publish -p 5353:53/udp hears.dev",
        "service publish -p 192.0.2.99:80:80 far.dev",
        "service attach s1 has.dev",
    ] {
        host.ok(words.split(' '))?;
    }
    let (_tcp, _udp) = host.netns().within(|| {
        let tcp = ["0.0.0.0:8000", "127.0.0.1:8001", "[::]:8002"].map(TcpListener::bind);
        Ok((tcp, UdpSocket::bind("192.0.2.1:5353")?))
    })?;
    let text = |port: &str, why: &str| {
        format!(
            "invalid value '{port}' for '--publish <[[HOST_IP:][HOST_PORT]:]PORT[/PROTO]>': port {port:?}: {why}"
        )
    };
    let number =
        |part: &str| format!("{part:?} is no port: write a number from 1 to 65535, or FIRST-LAST");
    refuse(
        &lab,
        host,
        &[
            case("service publish -p http x.dev", 2, text("http", &number("http"))),
            case("service publish -p 80:0 x.dev", 2, text("80:0", &number("0"))),
            case("service publish -p 65536:80 x.dev", 2, text("65536:80", &number("65536"))),
            case(
                "service publish -p 192.0.2.1:80 x.dev",
                2,
                text("192.0.2.1:80", &number("192.0.2.1")),
            ),
            case(
                "network connect -p 82-80 dev s1",
                2,
                text("82-80", "range 82-80 ends before it begins"),
            ),
            case(
                "service publish -p 8000-8002:80-81 x.dev",
                2,
                text(
                    "8000-8002:80-81",
                    "the host's ports are 3, the service's 2: give as many of both, or one of the service",
                ),
            ),
            case(
                "service publish -p ::1:80:80 x.dev",
                2,
                text(
                    "::1:80:80",
                    "write [[HOST_IP:][HOST_PORT[-END]]:]PORT[-END][/PROTO], with an IPv6 address in brackets",
                ),
            ),
            case(
                "service publish -p eth0:80:80 x.dev",
                2,
                text("eth0:80:80", "\"eth0\" is no IP address"),
            ),
            case(
                "service publish -p [fe80::1]:80:80 x.dev",
                2,
                text(
                    "[fe80::1]:80:80",
                    "fe80::1 is link-local, and does not say of which link: give another",
                ),
            ),
            case(
                "run -p 80/icmp --publish-service x.dev -- true",
                2,
                text("80/icmp", "the protocol must be tcp, udp or sctp"),
            ),
            case(
                "run -p 80 --publish-service x.dev --publish-service y.dev -- true",
                2,
                "--publish, --ip, --ip6, --mac and --bridging are for one service: give --publish-service once",
            ),
            case(
                "service publish -p 80 x.stack",
                1,
                "network stack is the host's own, with all ports of it: leave out --publish",
            ),
            case(
                "service publish -p 80 x.none",
                1,
                "network none gives no addresses to lead a port to: leave out --publish",
            ),
            case(
                "service publish -p 80 x.inner",
                1,
                "network inner is internal, and not reached from outside: leave out --publish",
            ),
            case(
                "service publish -p 80 --vtep 192.0.2.77 x.dev",
                1,
                "service x is to be a station at 192.0.2.77, which is no host's: leave out --publish",
            ),
            case(
                "service publish -p 80 --bridging x.dev",
                1,
                "service x is to bridge onward, and a port is for one station: leave out --bridging or --publish",
            ),
            case(
                "service publish -p 1-1000 -p 2001-2025 x.dev",
                1,
                "service x is to publish 1025 ports, of which it can have 1024",
            ),
            case(
                "service publish -p 8080:80 -p 192.0.2.1:8079-8081:81-83 x.dev",
                1,
                "service x publishes port 8080/tcp of its host twice: publish each at another port or address",
            ),
            case(
                "service publish -p [::]:8080:80 x.dev",
                1,
                "service x publishes [::]:8080:80/tcp at ::, and has no IPv6 address on network dev: \
                 publish at an address of the other family",
            ),
            case(
                "service publish -p 80 x.bound",
                1,
                "service x publishes 80/tcp at 2001:db8::1, and has no IPv6 address on network bound: \
                 publish at an address of the other family",
            ),
            case(
                "service attach s1 wants.dev",
                1,
                "port 8080/tcp of host h1 is published by service has.dev already: publish another, \
                 or detach that service first",
            ),
            case(
                "network connect -p 8080:80 dev s1",
                1,
                "port 8080/tcp of host h1 is published by service has.dev already: publish another, \
                 or detach that service first",
            ),
            case(
                "run -p 8080:80 --publish-service x.fresh -- true",
                1,
                "port 8080/tcp of host h1 is published by service has.dev already: publish another, \
                 or detach that service first",
            ),
            case(
                "service attach s1 listens.dev",
                1,
                "port 8002/tcp of host h1 is in use by a process there: publish another, or end it first",
            ),
            case(
                "service attach s1 hears.dev",
                1,
                "port 5353/udp of host h1 is in use by a process there: publish another, or end it first",
            ),
            case(
                "service attach s1 some.dev",
                1,
                "service some is to have one of the ports 8000-8001 of host h1 for its 80, and none is free: \
                 publish another, or detach a service that has one",
            ),
            case(
                "service attach s1 far.dev",
                1,
                "service far publishes 192.0.2.99:80:80/tcp at 192.0.2.99, which is no address of host h1: \
                 attach it on a host that has it, or publish at another",
            ),
        ],
    )?;
    lab.end()
}
