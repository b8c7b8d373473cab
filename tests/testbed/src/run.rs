//! One run's directory, and how all that belongs to it is found and removed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::cgroup;
use crate::command::{eventually, ignore};
use crate::interrupt;

/// Where the runs of tests, demo and benchmarks are. Short, because sockets below it must fit
/// into the 108 bytes of a `sockaddr_un`.
const BASE: &str = "/run/netctl-testbed";

/// The variable that every process of a run carries; its value is the run's directory.
pub(crate) const MARK: &str = "TESTBED_RUN";

/// A directory that is this run's alone, and that is cleaned when this value goes.
///
/// An exclusive lock on `<dir>.lock` says that the run is alive. The kernel drops it however the
/// owner ends, so no process id has to be written down and trusted later.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    lock: Option<File>,
    owned: bool,
}

impl Run {
    /// A new run with a name that no other has. Also clears away what killed runs have left.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if COUNT.load(Ordering::Relaxed) == 0 {
            sweep()?;
        }
        let run = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let dir = Path::new(BASE).join(format!("{}-{count}", std::process::id()));
            // Somebody else's sweep may be looking at what a namesake has left.
            if let Some(run) = Self::lock(&dir)? {
                break run;
            }
        };
        run.make()?;
        Ok(run)
    }

    /// Takes the run at a directory of the caller's choice, with what is there already.
    /// [`None`] if somebody else is at work on it.
    pub fn lock(dir: &Path) -> Result<Option<Self>> {
        ensure!(is_root(), "network namespaces need root: run it with sudo");
        let path = lock_path(dir);
        loop {
            let file = open_lock(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // The previous owner may have removed the file between the opening and the locking.
            let current = fs::metadata(&path).map(|found| found.ino());
            if current.is_ok_and(|ino| file.metadata().is_ok_and(|own| own.ino() == ino)) {
                interrupt::register(dir);
                return Ok(Some(Self { dir: dir.to_owned(), lock: Some(file), owned: true }));
            }
        }
    }

    /// As [`Run::lock`], but waits for as long as somebody else is at work on it.
    pub fn wait(dir: &Path) -> Result<Self> {
        eventually("the other task on it ends", Duration::from_mins(5), || {
            Self::lock(dir)?.with_context(|| format!("{} is locked", dir.display()))
        })
    }

    /// Makes the directory anew, after cleaning what an earlier owner has left there.
    pub fn make(&self) -> Result<()> {
        clean(&self.dir)?;
        let _gate = interrupt::gate();
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// From now on everything stays up when this value goes, or a signal ends the process.
    pub fn disown(&mut self) {
        interrupt::unregister(&self.dir);
        self.owned = false;
    }

    /// Cleans up and says what could not be removed; dropping does the same in silence.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let _gate = interrupt::gate();
        let Some(lock) = self.lock.take() else { return Ok(()) };
        let ended = end(&self.dir);
        interrupt::unregister(&self.dir);
        drop(lock);
        ended
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = self.finish()
        {
            #[expect(clippy::print_stderr, reason = "a destructor cannot return the error")]
            {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Whether this process may make namespaces and mounts.
pub fn is_root() -> bool {
    geteuid().is_root()
}

fn lock_path(dir: &Path) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

/// Opens a lock file, and makes it and its directory. The last other run's end may remove the directory at any time.
fn open_lock(path: &Path) -> Result<File> {
    let base = path.parent().context("a lock has a directory")?;
    loop {
        match fs::create_dir(base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {}", base.display()));
            }
            _ => {}
        }
        match OpenOptions::new().create(true).append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.with_context(|| format!("cannot open {}", path.display())),
        }
    }
}

fn remove_lock(dir: &Path) {
    // Both fail harmlessly: the file may be gone, and the base may hold other runs.
    ignore(fs::remove_file(lock_path(dir)));
    if dir.starts_with(BASE) {
        ignore(fs::remove_dir(BASE));
    }
}

/// Removes what runs that were killed have left behind, and says how many there were. Runs that
/// are alive, in this process or another, are not touched.
pub fn sweep() -> Result<usize> {
    let entries = match fs::read_dir(BASE) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).with_context(|| format!("cannot read {BASE}")),
    };
    let mut dirs = BTreeSet::new();
    for entry in entries {
        dirs.insert(entry?.path().with_extension(""));
    }
    let mut swept = 0;
    for dir in dirs {
        if let Some(run) = Run::lock(&dir)? {
            swept += usize::from(dir.exists());
            run.end()?;
        }
    }
    Ok(swept)
}

/// Cleans, and gives the name of the run back.
pub(crate) fn end(dir: &Path) -> Result<()> {
    clean(dir)?;
    remove_lock(dir);
    Ok(())
}

/// Ends the run's processes, unmounts its mounts, and removes its directory.
fn clean(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    kill_all(dir)?;
    for mount in mounts(dir)?.iter().rev() {
        umount2(&mount.target, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.target.display()))?;
    }
    cgroup::remove(dir)?;
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Fails where anything of the run at `dir` is left: the directory, a mount below it, a process that carries its mark.
pub fn gone(dir: &Path) -> Result<()> {
    ensure!(!dir.exists(), "{} is left", dir.display());
    let left: Vec<_> = mounts(dir)?.into_iter().map(|mount| mount.target).collect();
    ensure!(left.is_empty(), "mounts are left: {left:?}");
    let left = cgroup::dirs(dir);
    ensure!(left.is_empty(), "control groups are left: {left:?}");
    let mark = format!("{MARK}={}", dir.display());
    let mut left = processes()?;
    left.retain(|pid| belongs(*pid, &mark, &BTreeSet::new()));
    ensure!(left.is_empty(), "processes of {} are left: {left:?}", dir.display());
    Ok(())
}

struct Mount {
    target: PathBuf,
    namespace: bool,
}

/// The mounts below `dir`, in the order in which they were made.
fn mounts(dir: &Path) -> Result<Vec<Mount>> {
    // proc_pid_mountinfo(5): field 5 is the mount point, the type follows the lone hyphen.
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let parse = |line: &str| {
        let target = PathBuf::from(line.split(' ').nth(4)?);
        let namespace = line.split(" - ").nth(1)?.starts_with("nsfs ");
        target.starts_with(dir).then_some(Mount { target, namespace })
    };
    Ok(table.lines().filter_map(parse).collect())
}

/// Kills the run's processes until none is left, also those that are being started meanwhile.
fn kill_all(dir: &Path) -> Result<()> {
    let spaces: BTreeSet<(u64, u64)> = mounts(dir)?
        .into_iter()
        .filter(|mount| mount.namespace)
        .filter_map(|mount| fs::metadata(mount.target).ok())
        .map(|found| (found.dev(), found.ino()))
        .collect();
    let mark = format!("{MARK}={}", dir.display());
    let kin = ancestors();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let mut left = 0;
        for pid in processes()? {
            if kin.contains(&pid) || !belongs(pid, &mark, &spaces) {
                continue;
            }
            left += 1;
            // Gone since is as good; that its id now belongs to another would take a wrap of all
            // process ids between the two lines.
            ignore(kill(Pid::from_raw(pid), Signal::SIGKILL));
        }
        if left == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{left} processes of {} do not die", dir.display());
        sleep(Duration::from_millis(5));
    }
}

fn processes() -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Whether a process carries the mark or lives in one of the namespaces. A zombie does neither.
fn belongs(pid: i32, mark: &str, spaces: &BTreeSet<(u64, u64)>) -> bool {
    let inside = fs::metadata(format!("/proc/{pid}/ns/net"))
        .is_ok_and(|found| spaces.contains(&(found.dev(), found.ino())));
    inside
        || fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|v| v == mark.as_bytes()))
}

/// This process and those that started it: somebody may take a lab down from its own shell.
fn ancestors() -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut pid = std::process::id().cast_signed();
    while pid > 1 && found.insert(pid) {
        pid = crate::process::stat(pid).map_or(0, |stat| stat.parent);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_opened_while_others_remove_its_directory() -> Result<()> {
        let base = std::env::temp_dir().join(format!("testbed-lock-{}", std::process::id()));
        let take = |name: &str| -> Result<()> {
            let path = base.join(name);
            for _ in 0..5000 {
                drop(open_lock(&path)?);
                fs::remove_file(&path)?;
                ignore(fs::remove_dir(&base));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| take("b"));
            take("a")?;
            other.join().expect("the other does not panic")
        })
    }
}
