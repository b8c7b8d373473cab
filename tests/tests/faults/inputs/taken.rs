//! What somebody has already.

use anyhow::Result;

use super::{case, furnished, no_driver, refuse};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_taken_is_named() -> Result<()> {
    let lab = furnished()?;
    let owner = lab.host(1).ok(["sandbox", "inspect", "s1"])?;
    let owner: serde_json::Value = serde_json::from_str(&owner)?;
    let owner = &owner[0]["id"].as_str().expect("an id")[..12];
    let attached = format!("service web.dev is attached to sandbox {owner} on host h1");
    let overlap = |subnet: &str| {
        format!(
            "subnet {subnet} overlaps with 10.77.0.0/24 of network dev: choose another, \
             or allow it with -o allow-overlap=true"
        )
    };
    let underlay = "subnet 192.0.0.0/16 overlaps with 192.0.2.0/24, which this host uses on eth0: \
                    choose another";
    refuse(
        &lab,
        lab.host(1),
        &[
            case(
                "network create dev",
                1,
                "network dev is there already: choose another name, or remove it first",
            ),
            case(
                "service publish web.dev",
                1,
                "service web is published on network dev already: choose another name, or unpublish it first",
            ),
            case(
                "sandbox create s1",
                1,
                "sandbox s1 is there already: choose another name, or remove it first",
            ),
            case(
                "run --name s1 --publish-service x.fresh -- true",
                1,
                "sandbox s1 is there already: choose another name, or remove it first",
            ),
            case(
                "run --publish-service web.dev -- true",
                1,
                "service web is published on network dev already: choose another name, or unpublish it first",
            ),
            case(
                "run --publish-service x.fresh --publish-service web.dev -- true",
                1,
                "service web is published on network dev already: choose another name, or unpublish it first",
            ),
            case(
                "run --publish-service x.dev.null -- true",
                1,
                "network dev is there already with driver overlay: leave the driver out, or choose another network",
            ),
            case("run --publish-service x.fresh.ether -- true", 1, no_driver(&lab)),
            case("network create --subnet 10.77.0.0/24 x", 1, overlap("10.77.0.0/24")),
            case("network create --subnet 10.77.0.128/25 x", 1, overlap("10.77.0.128/25")),
            case("network create --subnet 10.0.0.0/8 x", 1, overlap("10.0.0.0/8")),
            case("network create --subnet 192.0.0.0/16 x", 1, underlay),
            case("network create -o allow-overlap=true --subnet 192.0.0.0/16 x", 1, underlay),
            case(
                "network create --subnet 10.9.0.0/16 --subnet 10.9.1.0/24 x",
                1,
                "subnets 10.9.0.0/16 and 10.9.1.0/24 of network x overlap: give each address once",
            ),
            case(
                "network create -o vni=4242 x",
                1,
                "VNI 4242 is in use by network dev: choose another, or let netctl choose",
            ),
            case(
                "service publish --ip 10.77.0.10 x.dev",
                1,
                "address 10.77.0.10 is taken on network dev: choose another, or let netctl choose",
            ),
            case(
                "service publish --ip 10.77.0.1 x.dev",
                1,
                "address 10.77.0.1 is taken on network dev: choose another, or let netctl choose",
            ),
            case(
                "service publish --mac 02:00:00:00:00:10 x.dev",
                1,
                "MAC address 02:00:00:00:00:10 is taken on network dev: choose another, or let netctl choose",
            ),
            case(
                "service publish x.small",
                1,
                "network small has no free address left in 10.78.0.0/30: unpublish services, or add a larger network",
            ),
            case(
                "service attach s1 web.dev",
                1,
                "service web.dev is attached to sandbox s1 already",
            ),
            case("service detach s1 idle.dev", 1, "service idle.dev is not attached to sandbox s1"),
            case(
                "service unpublish web.dev",
                1,
                format!("{attached}: detach it first, or use --force"),
            ),
            case("network rm dev", 1, "network dev has 2 services (idle, web): unpublish first"),
        ],
    )?;
    refuse(
        &lab,
        lab.host(2),
        &[
            case(
                "service attach s2 web.dev",
                1,
                format!("{attached}: detach it there first, or use --force"),
            ),
            case("service detach s2 web.dev", 1, "service web.dev is not attached to sandbox s2"),
            case(
                "service unpublish web.dev",
                1,
                format!("{attached}: detach it first, or use --force"),
            ),
            case("network rm dev", 1, "network dev has 2 services (idle, web): unpublish first"),
        ],
    )?;
    lab.end()
}
