//! Running a command inside a network namespace, with its own view of `/etc/resolv.conf`, `/etc/hosts` and `/sys`.

mod view;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::Signal,
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::{AccessFlags, Pid, access, getpid, getppid},
};

use super::{Error, Netns, signals::Forwarding};

/// The exit code of a shell for a command that is not there.
const NOT_FOUND: u8 = 127;
/// The exit code of a shell for a command that cannot be run.
const NOT_EXECUTABLE: u8 = 126;

/// A command to run in a network namespace.
#[derive(Debug)]
pub struct NetnsCommand {
    netns: Netns,
    program: OsString,
    arguments: Vec<OsString>,
    covers: Vec<Cover>,
    hostname: Option<OsString>,
}

/// A file that the command sees in place of the host's.
#[derive(Debug)]
struct Cover {
    /// What it sees.
    with: PathBuf,
    /// Where.
    at: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    /// It ran, and this is what a shell would make of its end: its own exit code, or 128 and the number of the signal
    /// that ended it.
    Ran(u8),
    /// It could not be started: a shell's exit code for that (127 not found, 126 not executable), and a sentence.
    NotStarted(u8, String),
}

impl NetnsCommand {
    /// A command, looked up in the `PATH` of this process unless it contains a slash.
    pub fn new(netns: &Netns, program: impl Into<OsString>) -> Self {
        Self {
            netns: netns.clone(),
            program: program.into(),
            arguments: Vec::new(),
            covers: Vec::new(),
            hostname: None,
        }
    }

    /// Its arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The file that it sees as `/etc/resolv.conf`. It sees later changes if they are written in place, not by renaming
    /// another file over this one.
    #[must_use]
    pub fn resolv_conf(mut self, file: impl Into<PathBuf>) -> Self {
        self.covers.push(Cover { with: file.into(), at: "/etc/resolv.conf".into() });
        self
    }

    /// The file that it sees as `/etc/hosts`; see [`NetnsCommand::resolv_conf`].
    #[must_use]
    pub fn hosts(mut self, file: impl Into<PathBuf>) -> Self {
        self.covers.push(Cover { with: file.into(), at: "/etc/hosts".into() });
        self
    }

    /// The name that it sees as the host's.
    #[must_use]
    pub fn hostname(mut self, name: Option<impl Into<OsString>>) -> Self {
        self.hostname = name.map(Into::into);
        self
    }

    /// Runs the command and waits for its end. It has this process' terminal, environment and directory. SIGINT,
    /// SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 sent to this process are handed on to it, and it is killed if this
    /// process ends before it. Blocks: not for a worker of a runtime. One at a time in a process.
    pub fn run(&self) -> Result<Ended, Error> {
        // A thread of its own, which lives until the command ends: it takes on the namespaces, and the death that
        // PR_SET_PDEATHSIG waits for is that of the thread that started the command.
        thread::scope(|scope| {
            scope.spawn(|| self.run_here()).join().map_err(|_panic| Error::Panicked)?
        })
    }

    fn run_here(&self) -> Result<Ended, Error> {
        self.netns.enter()?;
        view::separate()?;
        view::renew_sys();
        for cover in &self.covers {
            view::cover(&cover.at, &cover.with)?;
        }
        if let Some(hostname) = &self.hostname {
            view::rename_host(hostname)?;
        }
        let forwarding =
            Forwarding::begin().map_err(|errno| Error::system("handle signals", errno))?;
        let parent = getpid();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
        unsafe { command.pre_exec(move || die_with(parent)) };
        match command.spawn() {
            Ok(mut child) => {
                let pid = Pid::from_raw(child.id().cast_signed());
                forwarding.to(pid.as_raw());
                wait_unreaped(pid)?;
                // The child's number is its own until it is reaped, which the next line does.
                forwarding.stop();
                let status = child
                    .wait()
                    .map_err(|source| Error::System { doing: "wait for the command", source })?;
                Ok(Ended::Ran(shell_code(status)))
            }
            Err(error) => not_started(&self.program, error),
        }
    }
}

/// Has the calling process killed when the thread that forked it ends.
fn die_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may have ended before that.
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
}

/// What is known to keep a command from being started before that is tried; it is looked up as [`NetnsCommand::new`]
/// says. For those who would have something to undo.
pub fn unstartable(program: &OsStr) -> Option<Ended> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if program.as_encoded_bytes().contains(&b'/') {
        vec![program.into()]
    } else {
        std::env::split_paths(&path).map(|dir| dir.join(program)).collect()
    };
    let runs = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    if candidates.iter().any(runs) {
        return None;
    }
    let there = candidates.iter().any(|file| file.exists());
    let kind = if there { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NotFound };
    not_started(program, kind.into()).ok()
}

/// Waits for the end of a child, and leaves it to be reaped.
fn wait_unreaped(child: Pid) -> Result<(), Error> {
    loop {
        match waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            other => {
                return other.map(drop).map_err(|errno| Error::System {
                    doing: "wait for the command",
                    source: errno.into(),
                });
            }
        }
    }
}

fn shell_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn not_started(program: &OsStr, error: io::Error) -> Result<Ended, Error> {
    let name = program.display();
    let has_slash = program.as_encoded_bytes().contains(&b'/');
    let (code, sentence) = match error.kind() {
        io::ErrorKind::NotFound if has_slash && Path::new(program).exists() => (
            NOT_EXECUTABLE,
            format!("cannot run {name}: the interpreter that its first line names is not there"),
        ),
        io::ErrorKind::NotFound if has_slash => {
            (NOT_FOUND, format!("cannot run {name}: no such file"))
        }
        io::ErrorKind::NotFound => (
            NOT_FOUND,
            format!("cannot run {name}: no command of that name is in a directory of PATH"),
        ),
        io::ErrorKind::PermissionDenied => (
            NOT_EXECUTABLE,
            format!("cannot run {name}: it is not an executable file, or you may not run it"),
        ),
        _ if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            (NOT_EXECUTABLE, format!("cannot run {name}: it is not a program for this machine"))
        }
        _ => return Err(Error::System { doing: "start the command", source: error }),
    };
    Ok(Ended::NotStarted(code, sentence))
}
