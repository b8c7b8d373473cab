use std::{fs, os::unix::fs::MetadataExt as _};

use super::*;
use crate::{
    discovery::tests::{ip, name},
    model::{SCHEMA, SandboxId},
};

/// The text without the comments.
fn plain(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

fn sandbox(dns: &[&str], search: &[&str], options: &[&str]) -> Sandbox {
    Sandbox {
        schema: SCHEMA,
        id: SandboxId::random(),
        name: name("box"),
        netns: "/run/netns/box".into(),
        owned: true,
        host_stack: false,
        foreign: false,
        dns: dns.iter().map(|text| ip(text)).collect(),
        dns_search: search.iter().map(|text| text.parse().expect("a domain")).collect(),
        dns_options: options.iter().map(|text| text.parse().expect("an option")).collect(),
        hostname: None,
        extra_hosts: Vec::new(),
        sysctls: Vec::new(),
        container: None,
        created: 0,
    }
}

#[test]
fn resolv_conf_names_gateways_and_what_the_sandbox_was_given() {
    let plain_box = || sandbox(&[], &[], &[]);
    let corp = ["corp.example", "example"];
    for (gateways, sandbox, host_search, text) in [
        (&[][..], plain_box(), &[][..], ""),
        (&["10.1.0.1"], plain_box(), &[], "nameserver 10.1.0.1\noptions ndots:0\n"),
        (
            &["10.2.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1"],
            plain_box(),
            &[],
            "nameserver 10.2.0.1\nnameserver 10.1.0.1\nnameserver 10.3.0.1\noptions ndots:0\n",
        ),
        // Ours go on serving; its own are asked by them.
        (
            &["10.1.0.1"],
            sandbox(&["fd00::53"], &[], &[]),
            &[],
            "nameserver 10.1.0.1\noptions ndots:0\n",
        ),
        (&[], sandbox(&["fd00::53"], &[], &[]), &[], "nameserver fd00::53\noptions ndots:0\n"),
        (
            &["10.1.0.1"],
            plain_box(),
            &corp,
            "nameserver 10.1.0.1\nsearch corp.example example\noptions ndots:0\n",
        ),
        (
            &["10.1.0.1"],
            sandbox(&[], &["a.example."], &["rotate", "ndots:2"]),
            &corp,
            "nameserver 10.1.0.1\nsearch a.example\noptions rotate ndots:2\n",
        ),
        (
            &["10.1.0.1"],
            sandbox(&[], &["."], &["timeout:1"]),
            &corp,
            "nameserver 10.1.0.1\noptions ndots:0 timeout:1\n",
        ),
    ] {
        let gateways: Vec<_> = gateways.iter().map(|text| ip(text)).collect();
        let search: Vec<SearchDomain> =
            host_search.iter().map(|text| text.parse().expect("a domain")).collect();
        let whole = resolv_conf(&gateways, &sandbox, &search);
        assert!(whole.starts_with('#'));
        assert_eq!(plain(&whole), text);
    }
}

#[test]
fn the_hosts_search_domains_are_read_as_the_c_library_does() {
    for (text, domains) in [
        ("nameserver 10.0.0.1\n", &[][..]),
        ("search a.example b.example.\n", &["a.example", "b.example"]),
        ("search a.example\ndomain b.example c.example\n", &["b.example"]),
        ("domain b.example\n# search c.example\nsearch a.example ..\n", &["a.example"]),
        ("search .\n", &["."]),
    ] {
        let read: Vec<String> = search_domains(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, domains, "{text:?}");
    }
}

#[test]
fn hosts_names_the_sandbox_itself() {
    let own = |address, service, network| OwnAddress {
        address: ip(address),
        service: name(service),
        network: name(network),
    };
    let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    assert_eq!(plain(&hosts("c1", &[])), format!("{local}127.0.1.1\tc1\n"));
    let two = [
        own("10.1.0.2", "svc", "dev"),
        own("fd00::2", "svc", "dev"),
        own("10.2.0.2", "c1", "prod"),
    ];
    assert_eq!(
        plain(&hosts("c1", &two)),
        format!("{local}10.1.0.2\tsvc svc.dev c1\nfd00::2\tsvc svc.dev c1\n10.2.0.2\tc1 c1.prod\n")
    );
}

#[test]
fn writing_keeps_the_inode_and_leaves_equal_text_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hosts");
    let write = |text: &str| write_in_place(&path, text).map(|()| fs::metadata(&path));
    let state = || fs::metadata(&path).map(|file| (file.ino(), file.mtime_nsec())).expect("there");
    write("a long first text\nof two lines\n").expect("made").expect("there");
    let (inode, _) = state();
    for text in ["short\n", "", "a longer text again\n", &"x\n".repeat(5000), "short\n"] {
        write(text).expect("written").expect("there");
        assert_eq!(fs::read_to_string(&path).expect("text"), text);
        assert_eq!(state().0, inode);
    }
    let before = state();
    write("short\n").expect("written").expect("there");
    assert_eq!(state(), before);
}

#[test]
fn a_name_server_that_stays_is_there_at_every_moment() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("resolv.conf");
    let [first, second] = ["10.1.0.1", "10.2.0.1"].map(ip);
    let sandbox = sandbox(&[], &[], &[]);
    let texts = [&[first, second][..], &[first]].map(|g| resolv_conf(g, &sandbox, &[]));
    write_in_place(&path, &texts[0]).expect("made");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for text in texts.iter().cycle().take(4000) {
                write_in_place(&path, text).expect("written");
            }
        });
        while !writer.is_finished() {
            let seen = fs::read_to_string(&path).expect("text");
            assert!(seen.contains("\nnameserver 10.1.0.1\n"), "{seen:?}");
        }
    });
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, "mine").expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    assert!(write_in_place(&link, "text\n").is_err());
    assert_eq!(fs::read_to_string(&target).expect("text"), "mine");
}
