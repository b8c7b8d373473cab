//! Bad input over the real command line: one sentence, the exit code, and nothing changed anywhere.

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Options};

use crate::state;

/// What a person types after `netctl`, the exit code, and the first line on standard error.
struct Case<'a>(&'a str, i32, String);

/// A lab of two hosts with everything that bad input can collide with:
///
/// ```text
///   h1: network dev 10.77.0.0/24, VNI 4242, with `web` (10.77.0.10) attached to sandbox s1, `idle` to nothing
///       network small 10.78.0.0/30, full; network none, of driver null, with `nothing`
///   h2: sandbox s2
/// ```
fn furnished() -> Result<Lab> {
    let lab = Lab::start(Options::default())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    for words in [
        "network create --subnet 10.77.0.0/24 -o vni=4242 dev",
        "network create --subnet 10.78.0.0/30 small",
        "network create -d null none",
        "service publish --ip 10.77.0.10 --mac 02:00:00:00:00:10 web.dev",
        "service publish idle.dev",
        "service publish only.small",
        "service publish nothing.none",
        "sandbox create s1",
        "service attach s1 web.dev",
    ] {
        h1.ok(words.split(' '))?;
    }
    h2.ok(["sandbox", "create", "s2"])?;
    Ok(lab)
}

/// Runs each case, and says of all at once what was not as expected.
fn refuse(lab: &Lab, host: &Host, cases: &[Case<'_>]) -> Result<()> {
    let before = (state::dump(lab)?, state::machine(lab.host(1))?, state::machine(lab.host(2))?);
    let mut wrong = Vec::new();
    for Case(words, code, sentence) in cases {
        // An argument that is empty is written as two quotes.
        let words = words.split(' ').map(|word| if word == "''" { "" } else { word });
        let output = host.netctl(words)?;
        let said = output.stderr.lines().next().unwrap_or_default();
        if output.code() != *code
            || said != format!("error: {sentence}")
            || !matches!(&*output.stdout, "" | "[]\n")
        {
            wrong.push(format!(
                "`{}`: {}\n  {said}\n  error: {sentence}",
                output.command,
                output.code()
            ));
        }
        if *code == 1 && output.stderr.lines().count() != 1 {
            wrong.push(format!("`{}`: more than a sentence: {}", output.command, output.stderr));
        }
    }
    let after = (state::dump(lab)?, state::machine(lab.host(1))?, state::machine(lab.host(2))?);
    ensure!(before == after, "something changed: {before:#?}\n{after:#?}");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn case(words: &str, code: i32, sentence: impl Into<String>) -> Case<'_> {
    Case(words, code, sentence.into())
}

#[test]
fn what_is_not_there_is_named() -> Result<()> {
    let lab = furnished()?;
    let network = "there is no network other: see `netctl network ls`";
    let service = "there is no service other on network dev: see `netctl service ls`";
    let sandbox = "there is no sandbox other on this host: see `netctl sandbox ls`";
    refuse(
        &lab,
        lab.host(1),
        &[
            case("network inspect other", 1, network),
            case("network rm other", 1, network),
            case("service publish a.other", 1, network),
            case("service ls --network other", 1, network),
            case("service inspect other.dev", 1, service),
            case("service inspect other", 1, "there is no service other: see `netctl service ls`"),
            case("service unpublish other.dev", 1, service),
            case("service unpublish -f other.dev", 1, service),
            case("service attach s1 other.dev", 1, service),
            case("service attach other idle.dev", 1, sandbox),
            case("service detach other web.dev", 1, sandbox),
            case("service detach s1 other.dev", 1, service),
            case("sandbox inspect other", 1, sandbox),
            case("sandbox rm other", 1, sandbox),
            case("exec other -- true", 1, sandbox),
            // A sandbox is its own host's.
            case("sandbox rm s2", 1, sandbox.replace("other", "s2")),
            case(
                "sandbox create --netns /run/nothing s3",
                1,
                "there is no network namespace at /run/nothing: nothing is there",
            ),
            case(
                "sandbox create --netns /etc/hostname s3",
                1,
                "/etc/hostname is not a network namespace: give the path of one, such as \
                 /run/netns/NAME or /proc/PID/ns/net",
            ),
        ],
    )?;
    lab.end()
}

#[test]
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
            case(
                "run --publish-service x.fresh.ether -- true",
                1,
                "there is no driver ether: use one of null, overlay",
            ),
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

#[test]
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
    let vni = |vni: &str| format!("option vni={vni}: a VNI is within 1 and 16777215");
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
                "network create --subnet fd00:1::/64 x",
                1,
                "subnet fd00:1::/64 is IPv6, which driver overlay does not carry yet",
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
                "network create -d null --subnet 10.9.0.0/24 x",
                1,
                "driver null gives no addresses: leave out --subnet, --ip-range and --gateway",
            ),
            case(
                "network create -d ether x",
                1,
                "there is no driver ether: use one of null, overlay",
            ),
            case(
                "network create -o colour=blue x",
                1,
                "driver overlay has no option colour: it has vni, mtu, allow-overlap",
            ),
            case(
                "network create -d null -o vni=7 x",
                1,
                "driver null has no option vni: it has none",
            ),
            case("network create -o vni=0 x", 1, vni("0")),
            case("network create -o vni=16777216 x", 1, vni("16777216")),
            case("network create -o vni=-1 x", 1, "option vni=-1: invalid digit found in string"),
            case(
                "network create -o mtu=67 x",
                1,
                "option mtu=67: an MTU is within 68 and 65535 bytes",
            ),
            case(
                "network create -o allow-overlap=maybe x",
                1,
                "option allow-overlap=maybe: provided string was not `true` or `false`",
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
                1,
                "address fd00::1 is in no subnet of network dev, which has 10.77.0.0/24",
            ),
            case(
                "service publish --ip 10.77.0.300 x.dev",
                2,
                value("10.77.0.300", "--ip <IP>", "invalid IP address syntax"),
            ),
            case(
                "service publish --ip 10.77.0.9 x.none",
                1,
                "network none gives no addresses: leave out --ip and --mac",
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

#[test]
fn identifiers_must_say_which() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    // Of 300 identifiers, surely two begin with the same three of 16^3 beginnings.
    let mut ids: Vec<String> = Vec::new();
    let twice = loop {
        ensure!(ids.len() < 300, "no two identifiers begin alike: {ids:?}");
        let name = format!("n{}", ids.len());
        let id = host.ok(["network", "create", "-d", "null", &name])?.trim().to_owned();
        if let Some(other) = ids.iter().find(|other| other[..3] == id[..3]) {
            break other[..3].to_owned();
        }
        ids.push(id);
    };
    let words = format!("network rm {twice}");
    let before = state::dump(&lab)?;
    let output = host.netctl(words.split(' '))?;
    ensure!(output.code() == 1, "{output:?}");
    assert_eq!(
        output.stderr,
        format!("error: network {twice} is ambiguous: give more of the identifier\n")
    );
    ensure!(state::dump(&lab)? == before, "something changed");
    // Too short to be looked up as the beginning of one.
    let output = host.netctl(["network", "inspect", &twice[..2]])?;
    assert_eq!(
        output.stderr,
        format!("error: there is no network {}: see `netctl network ls`\n", &twice[..2])
    );
    lab.end()
}

#[test]
fn commands_that_cannot_be_run_leave_nothing() -> Result<()> {
    let lab = furnished()?;
    let host = lab.host(1);
    let dir = lab.dir().display().to_string();
    std::fs::write(lab.dir().join("text"), "no program\n")?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    for (words, code, sentence) in [
        (
            "run --publish-service x.dev -- /no/such/command",
            127,
            "cannot run /no/such/command: no such file",
        ),
        (
            "run --publish-service x.dev -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "run --publish-service x.dev -- DIR/text",
            126,
            "cannot run DIR/text: it is not an executable file, or you may not run it",
        ),
        (
            "run --publish-service x.fresh -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "exec s1 -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "exec s1 -- DIR/text",
            126,
            "cannot run DIR/text: it is not an executable file, or you may not run it",
        ),
    ] {
        let (words, sentence) = (words.replace("DIR", &dir), sentence.replace("DIR", &dir));
        let output = host.netctl(words.split(' '))?;
        assert_eq!(
            (output.code(), &*output.stderr),
            (code, &*format!("error: {sentence}\n")),
            "{words}"
        );
    }
    assert_eq!(before, (state::dump(&lab)?, state::machine(host)?));
    for (words, code) in
        [("run --rm --publish-service x.dev -- sh -c exit\u{a0}7", 7), ("run --rm -- false", 1)]
    {
        let words: Vec<String> = words.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        assert_eq!(host.netctl(&words)?.code(), code);
    }
    assert_eq!(before, (state::dump(&lab)?, state::machine(host)?));
    lab.end()
}

#[test]
fn without_a_daemon_the_code_is_3() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network ls",
        "network create x",
        "status",
        "fdb",
        "sandbox rm s1",
        "run --publish-service a.b -- true",
        "exec s1 -- true",
    ] {
        let output = host.netctl(words.split(' '))?;
        assert_eq!(
            (output.code(), output.stderr),
            (
                3,
                format!(
                    "error: netctl daemon cannot be reached at {}: No such file or directory (os error 2); \
                     start it with `netctl daemon`, or name its socket with --socket\n",
                    host.socket().display()
                )
            ),
            "{words}"
        );
    }
    lab.end()
}
