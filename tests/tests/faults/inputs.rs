//! Bad input over the real command line: one sentence, the exit code, and nothing changed anywhere.

mod commands;
mod misuse;
mod options;
mod ports;
mod settings;
mod several;
mod taken;
mod unusable;

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

/// What is said of the driver `ether`.
fn no_driver(lab: &Lab) -> String {
    let dir = lab.host(1).dir("plugin");
    format!(
        "there is no driver ether: use one of bridge, host, null, overlay, or a plugin, of which none is called so in {}",
        dir.display()
    )
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
fn identifiers_must_say_which() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    // Of 300 identifiers, surely two begin with the same three of 16^3 beginnings.
    let mut ids: Vec<String> = Vec::new();
    let twice = loop {
        ensure!(ids.len() < 300, "no two identifiers begin alike: {ids:?}");
        let name = format!("n{}", ids.len());
        let id = host.ok(["network", "create", "-d", "bridge", &name])?.trim().to_owned();
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
