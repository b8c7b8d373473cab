use std::{fs, os::unix::fs::MetadataExt as _};

use super::*;
use crate::discovery::tests::{ip, name};

/// The text without the comments.
fn plain(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn resolv_conf_names_gateways_or_the_sandboxs_own_servers() {
    for (gateways, dns, text) in [
        (vec![], vec![], ""),
        (vec!["10.1.0.1"], vec![], "nameserver 10.1.0.1\noptions ndots:0\n"),
        (
            vec!["10.2.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1"],
            vec![],
            "nameserver 10.2.0.1\nnameserver 10.1.0.1\nnameserver 10.3.0.1\noptions ndots:0\n",
        ),
        (vec!["10.1.0.1"], vec!["fd00::53"], "nameserver fd00::53\noptions ndots:0\n"),
    ] {
        let list = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<Vec<_>>();
        let whole = resolv_conf(&list(&gateways), &list(&dns));
        assert!(whole.starts_with('#'));
        assert_eq!(plain(&whole), text);
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
    let texts = [resolv_conf(&[first, second], &[]), resolv_conf(&[first], &[])];
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
