//! A host and its sandboxes, each a network namespace that lives as long as a thread of its own.
//!
//! A namespace made by `unshare` has no name and no mount: it is gone, with its links, when its last thread and socket
//! are, however the test ends.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

use nix::sched::{CloneFlags, unshare};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace, and the thread that is in it.
pub(crate) struct Namespace {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    /// Where the kernel shows it.
    path: String,
}

impl Namespace {
    /// Makes one, with its loopback up.
    pub(crate) fn new() -> Self {
        let (work, orders) = channel::<Work>();
        let (made, is_made) = channel();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
            sh("ip link set lo up");
            let path =
                format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
            made.send(path).expect("the maker waits");
            // Work that panics fails the one who waits for it; the others' work goes on.
            for work in orders {
                drop(catch_unwind(AssertUnwindSafe(work)));
            }
        });
        let path = is_made.recv().expect("the namespace is made");
        Self { work: Some(work), thread: Some(thread), path }
    }

    /// Runs `work` in the namespace and returns what it does.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, is_done) = channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        self.work.as_ref().expect("it lives").send(work).expect("its thread lives");
        is_done.recv().expect("the work ends")
    }

    /// Runs a line of shell in the namespace.
    pub(crate) fn sh(&self, line: &str) -> String {
        let line = line.to_owned();
        self.run(move || sh(&line))
    }

    /// A veth pair into `inner`: `device` with the gateway's address here, `eth0` with `address` there.
    pub(crate) fn join(&self, inner: &Self, device: &str, gateway: &str, address: &str) {
        let path = &inner.path;
        self.sh(&format!("ip link add {device} type veth peer name eth0 netns {path}"));
        self.sh(&format!("ip addr add {gateway}/24 dev {device} && ip link set {device} up"));
        inner.sh(&format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up"));
        // Two devices with one subnet: a strict filter would take one for the way back from both.
        let filter = format!("/proc/sys/net/ipv4/conf/{device}/rp_filter");
        self.run(move || fs::write(filter, "2").expect("the filter is loosened"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}
