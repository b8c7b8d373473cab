//! The text of a sandbox's `/etc/resolv.conf` and `/etc/hosts`, and how it gets into them.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io,
    net::IpAddr,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::model::{Name, ResolverOption, Sandbox, SearchDomain};

/// As many name servers as the C library reads (resolv.conf(5), `MAXNS`).
const MAX_SERVERS: usize = 3;
/// The first line of both files.
const HEADER: &str =
    "# Written by netctl, which writes it again when the sandbox's networks change.\n";

/// The text of `/etc/resolv.conf`.
///
/// The name servers on `gateways` are asked: the gateway addresses of the networks that it joined, in the order joined.
/// Each of them knows all the sandbox's networks, so that the first is enough, and the next serve when it is away. They
/// ask the sandbox's own name servers for what is not ours; where no network has names, those are asked directly.
///
/// Names are looked for in the sandbox's domains, or else in `host_search`, those of the host. `ndots:0` has names
/// without a dot asked as they are first: a bare name already means the networks joined.
pub fn resolv_conf(gateways: &[IpAddr], sandbox: &Sandbox, host_search: &[SearchDomain]) -> String {
    let Sandbox { dns, dns_search, dns_options, .. } = sandbox;
    let servers = if gateways.is_empty() { dns } else { gateways };
    let mut text = HEADER.to_owned();
    if servers.is_empty() {
        text.push_str("# No network is joined that has a name server.\n");
        return text;
    }
    let mut seen: Vec<IpAddr> = Vec::with_capacity(MAX_SERVERS);
    for &server in servers {
        // Networks may have the same gateway address; asking it twice in a row helps nobody.
        if seen.len() < MAX_SERVERS && !seen.contains(&server) {
            seen.push(server);
            line(&mut text, format_args!("nameserver {server}"));
        }
    }
    let search = if dns_search.is_empty() { host_search } else { dns_search };
    let domains: Vec<&str> = search.iter().filter_map(SearchDomain::domain).collect();
    if !domains.is_empty() {
        line(&mut text, format_args!("search {}", domains.join(" ")));
    }
    let ndots = dns_options.iter().any(|option| option.ndots().is_some());
    let options: Vec<&str> = (!ndots)
        .then_some("ndots:0")
        .into_iter()
        .chain(dns_options.iter().map(ResolverOption::as_str))
        .collect();
    line(&mut text, format_args!("options {}", options.join(" ")));
    text
}

/// The domains that the text of a resolv.conf(5) says to look for names in; the last line that says it counts.
pub fn search_domains(text: &str) -> Vec<SearchDomain> {
    let said = text.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        match words.next()? {
            "search" => Some(words.filter_map(|word| word.parse().ok()).collect()),
            "domain" => Some(words.take(1).filter_map(|word| word.parse().ok()).collect()),
            _ => None,
        }
    });
    said.unwrap_or_default()
}

/// One of a sandbox's own addresses, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The address.
    pub address: IpAddr,
    /// The service.
    pub service: Name,
    /// Its network.
    pub network: Name,
}

/// The text of `/etc/hosts` for a sandbox with that host name and those addresses, in the order joined.
///
/// The host name stands for the first address of each family. Where there is none it is 127.0.1.1, as on Debian: a
/// program must always find its own host.
pub fn hosts(hostname: &str, own: &[OwnAddress]) -> String {
    let mut text = HEADER.to_owned();
    text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let (mut v4, mut v6) = (false, false);
    for OwnAddress { address, service, network } in own {
        let named = if address.is_ipv4() { &mut v4 } else { &mut v6 };
        let first = !std::mem::replace(named, true) && hostname != service.as_str();
        let alias = if first { format!(" {hostname}") } else { String::new() };
        line(&mut text, format_args!("{address}\t{service} {service}.{network}{alias}"));
    }
    if own.is_empty() {
        line(&mut text, format_args!("127.0.1.1\t{hostname}"));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a String takes any text");
    text.push('\n');
}

/// Makes `path` hold `text`, and keeps its inode.
///
/// The file is bound into sandboxes: a rename would put another file beside the one that they see. So it is written in
/// place, in the order that shows a reader the least of it: the whole text goes in with one write, filled up with empty
/// lines to the old length, and only then is the file cut. A reader between the two sees the new text and some empty
/// lines; cut first, it would see a file without name servers, and look for one on its own loopback. The kernel promises
/// no more than that: a reader that comes back for the end of a text may find the end of a longer one, which begins in
/// the middle of a line and is skipped as one that makes no sense. A file that holds the text already is left as it is:
/// the C library reads it again whenever its time of change moves.
///
/// Fails as the kernel does, also where `path` is a symbolic link: a sandbox's files are files.
pub fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)?;
    let old = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if old == text.len() && holds(&file, text)? {
        return Ok(());
    }
    let mut bytes = text.as_bytes().to_vec();
    // A sandbox may have made its file as large as it likes; past a page the order no longer helps.
    bytes.resize(old.min(4096).max(text.len()), b'\n');
    file.write_all_at(&bytes, 0)?;
    file.set_len(text.len() as u64)
}

fn holds(file: &File, text: &str) -> io::Result<bool> {
    let mut bytes = vec![0; text.len()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes == text.as_bytes())
}

#[cfg(test)]
mod tests;
