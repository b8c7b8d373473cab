//! The mount namespace of a command.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::sethostname,
};

use super::super::Error;

const NO_DATA: Option<&str> = None;
const NO_PATH: Option<&Path> = None;

/// Gives the calling thread a mount namespace of its own. What is mounted in it stays in it; what the host mounts and
/// unmounts later is followed, so that a long-lived command does not hold on to it.
pub(super) fn separate() -> Result<(), Error> {
    // Implies CLONE_FS: root and directory are the thread's own from here on (`ksys_unshare`).
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|errno| Error::system("make a mount namespace", errno))?;
    mount(NO_PATH, "/", NO_PATH, MsFlags::MS_SLAVE | MsFlags::MS_REC, NO_DATA)
        .map_err(|errno| Error::system("separate a mount namespace from the host's", errno))
}

/// Mounts a sysfs over `/sys`, which shows the links of the namespace it is mounted in, and puts back what was mounted
/// below the old one (cgroups, bpffs). Where that is not possible the old one stays: nothing of the network depends on
/// it.
pub(super) fn renew_sys() {
    let below: Vec<(PathBuf, File)> = mounts_below("/sys/")
        .into_iter()
        .filter_map(|path| open_path(&path).map(|file| (path, file)))
        .collect();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if let Err(errno) = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NO_DATA) {
        tracing::debug!(%errno, "/sys of the command stays the host's");
        return;
    }
    for (path, file) in below {
        if let Err(errno) = bind(&file, &path) {
            tracing::debug!(%errno, path = %path.display(), "not mounted for the command");
        }
    }
}

/// Mounts the file `with` over `at`, or over the file that `at` is a symbolic link to. No file of the host is changed.
pub(super) fn cover(at: &Path, with: &Path) -> Result<(), Error> {
    let target =
        fs::canonicalize(at).map_err(|_missing| Error::NothingToCover { path: at.into() })?;
    mount(Some(with), &target, NO_PATH, MsFlags::MS_BIND, NO_DATA)
        .map_err(|errno| Error::path("give the command its own version of", &target, errno))
}

/// Gives the calling thread a host name of its own.
pub(super) fn rename_host(name: &OsStr) -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWUTS)
        .and_then(|()| sethostname(name))
        .map_err(|errno| Error::system("give the command a host name of its own", errno))
}

/// A descriptor that stands for the mount at a path, also when another covers it.
fn open_path(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()
}

fn bind(source: &File, target: &Path) -> Result<(), Errno> {
    let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
    mount(Some(&source), target, NO_PATH, MsFlags::MS_BIND | MsFlags::MS_REC, NO_DATA)
}

/// The uppermost mount points below a directory, in the order of their mounting.
fn mounts_below(directory: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    // proc_pid_mountinfo(5): the fifth field is the mount point; blanks in it are written as octal numbers, and a path
    // below /sys has none.
    let mut points: Vec<PathBuf> = Vec::new();
    for point in table.lines().filter_map(|line| line.split(' ').nth(4)) {
        // A recursive bind of an upper one brings those below it.
        if point.starts_with(directory)
            && !points.iter().any(|upper| Path::new(point).starts_with(upper))
        {
            points.push(point.into());
        }
    }
    points
}
