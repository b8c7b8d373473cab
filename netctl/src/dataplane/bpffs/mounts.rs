//! Which bpf file systems netctl has mounted.
//!
//! A mount says what it is of. For a file system that is of no device that may be any word: others write `bpf` or `none`,
//! and netctl its own name. So one of ours is known as such for as long as it stands, whatever a daemon died in, and one
//! that somebody else mounts in its place is not.

use std::{fs, io, path::Path};

use nix::mount::{MsFlags, mount};

use super::{Error, failed};

/// What ours say that they are of.
const SOURCE: &str = "netctl";
/// Their type.
const TYPE: &str = "bpf";

/// Mounts a bpf file system of ours.
pub(super) fn mount_bpf(dir: &Path) -> Result<(), Error> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(SOURCE), dir, Some(TYPE), flags, Some("mode=0700"))
        .map_err(|errno| failed("mount a bpf file system on", dir, errno.into()))
}

/// Whether what is mounted on `dir` itself, if anything is, is a bpf file system of ours.
pub(super) fn is_ours(dir: &Path) -> Result<bool, Error> {
    let failed = |source| failed("look what is mounted on", dir, source);
    let at = match dir.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(failed)?,
    };
    let table = fs::read("/proc/self/mountinfo").map_err(failed)?;
    Ok(says_ours(&String::from_utf8_lossy(&table), &at.to_string_lossy()))
}

/// Whether the last mount at a place, which lies above all others there, is ours (proc(5), `/proc/pid/mountinfo`).
fn says_ours(table: &str, at: &str) -> bool {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = unescaped(place.split(' ').nth(4)?);
        let mut kind = kind.split(' ');
        Some((place, kind.next() == Some(TYPE) && kind.next() == Some(SOURCE)))
    };
    table.lines().filter_map(mount).rfind(|(place, _)| place == at).is_some_and(|(_, ours)| ours)
}

/// A path in which what would part fields is written as octal numbers (`mangle` in `fs/seq_file.c`).
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (written, is)| path.replace(written, is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_mounted_on_what_is_not_there() {
        assert!(!is_ours(Path::new("/sys/fs/nothing/is/there")).expect("an answer"));
    }

    #[test]
    fn ours_are_told_from_others() {
        let ours =
            "35 30 0:33 / /sys/fs/bpf rw,nosuid,nodev,noexec shared:14 - bpf netctl rw,mode=700";
        let theirs = "36 30 0:34 / /sys/fs/bpf rw,nosuid shared:15 - bpf bpf rw,mode=700";
        let alike = "37 30 0:35 / /sys/fs/bpf rw - tmpfs netctl rw";
        let elsewhere = "38 30 0:36 / /mnt/bpf rw shared:16 master:2 - bpf netctl rw";
        let blank = "39 30 0:37 / /mnt/b\\040f rw - bpf netctl rw";
        for (lines, at, expected) in [
            (vec![], "/sys/fs/bpf", false),
            (vec![ours], "/sys/fs/bpf", true),
            (vec![ours], "/sys/fs", false),
            (vec![theirs], "/sys/fs/bpf", false),
            (vec![alike], "/sys/fs/bpf", false),
            (vec![ours, elsewhere], "/sys/fs/bpf", true),
            (vec![theirs, elsewhere], "/sys/fs/bpf", false),
            (vec![elsewhere], "/mnt/bpf", true),
            (vec![ours, theirs], "/sys/fs/bpf", false),
            (vec![theirs, ours], "/sys/fs/bpf", true),
            (vec![blank], "/mnt/b f", true),
        ] {
            assert_eq!(says_ours(&lines.join("\n"), at), expected, "{at}: {lines:#?}");
        }
    }
}
