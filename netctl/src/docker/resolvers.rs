//! The name servers that an engine asks for its containers, which only its files tell.
//!
//! It asks from inside a container's namespace, so there has to be a way to them from every network; what goes there is
//! led to netctl's own servers. Those that a container was given with `--dns` are not known when it joins a network.

use std::{collections::BTreeSet, fs, net::IpAddr};

/// Where the engine looks first, and where it looks if that names the stub of systemd alone (moby,
/// `libnetwork/resolvconf`).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// What it asks where it finds none that containers could reach (moby, `libnetwork/resolvconf`).
const DEFAULTS: [&str; 4] = ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"];

/// Those that it may ask.
pub(super) fn of_host() -> BTreeSet<IpAddr> {
    of(&FILES.map(|file| fs::read_to_string(file).unwrap_or_default()))
}

fn of(texts: &[String; 2]) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for text in texts {
        found.extend(text.lines().filter_map(server).filter(|server| !server.is_loopback()));
        if !found.is_empty() {
            return found;
        }
    }
    DEFAULTS.iter().filter_map(|server| server.parse().ok()).collect()
}

/// The server that a line of a resolv.conf(5) names.
fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next())??.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_those_that_an_engine_takes() {
        let defaults = DEFAULTS.join(" ");
        for (first, second, servers) in [
            ("nameserver 192.0.2.53\nnameserver 127.0.0.1\n", "nameserver 10.0.0.1", "192.0.2.53"),
            ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.0.0.1\n", "10.0.0.1"),
            ("nameserver ::1\n", "", &defaults),
            ("", "", &defaults),
            ("#nameserver 192.0.2.1\nnameserver 2001:db8::53", "", "2001:db8::53"),
        ] {
            let wanted: BTreeSet<IpAddr> =
                servers.split(' ').map(|server| server.parse().expect("an address")).collect();
            assert_eq!(of(&[first.to_owned(), second.to_owned()]), wanted, "{first:?} {second:?}");
        }
    }
}
