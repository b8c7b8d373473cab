//! Commands in a namespace: what they see, how they end, what signals do.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use netctl::kernel::Netns;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::sh;

/// A namespace at a path, the two files that a command in it is to see, and the end of both.
struct Sandbox {
    dir: TempDir,
    netns: Netns,
}

impl Sandbox {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let netns = Netns::create(&dir.path().join("netns")).await.unwrap();
        fs::write(dir.path().join("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        fs::write(dir.path().join("hosts"), "192.0.2.7 seven\n").unwrap();
        Self { dir, netns }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netns-command"));
        command
            .args([self.file("netns"), self.file("resolv.conf"), self.file("hosts")])
            .args(arguments);
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn prints(&self, line: &str) -> String {
        let output = self.output(&["sh", "-c", line]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command that has printed a line, which is returned.
    fn started(&self, line: &str) -> (Child, String) {
        let mut child = self.command(&["sh", "-c", line]).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        (child, first.trim().to_owned())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        Netns::remove(&self.file("netns")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_its_own_files_and_links() {
    let host_before = (fs::read("/etc/resolv.conf").unwrap(), fs::read("/etc/hosts").unwrap());
    let mounts_before =
        fs::read_to_string("/proc/self/mountinfo").unwrap().matches("resolv.conf").count();
    let sandbox = Sandbox::new().await;
    sh(&sandbox.netns, "ip link add only-here type bridge");
    assert_eq!(sandbox.prints("cat /etc/resolv.conf"), "nameserver 192.0.2.53\n");
    assert_eq!(sandbox.prints("cat /etc/hosts"), "192.0.2.7 seven\n");
    assert!(sandbox.prints("getent hosts seven").starts_with("192.0.2.7"));
    assert_eq!(sandbox.prints("ls /sys/class/net"), "lo\nonly-here\n");
    let names = sandbox.prints("ip -br link | cut -d' ' -f1");
    assert_eq!(names, "lo\nonly-here\n");
    assert_eq!(sandbox.prints("pwd").trim(), std::env::current_dir().unwrap().to_str().unwrap());
    assert_eq!(
        (fs::read("/etc/resolv.conf").unwrap(), fs::read("/etc/hosts").unwrap()),
        host_before
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().matches("resolv.conf").count();
    assert_eq!(mounts, mounts_before, "the host's mounts are not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_below_sys_stays() {
    let sandbox = Sandbox::new().await;
    let below = "awk '$5 ~ \"^/sys/\" { print $5 }' /proc/self/mountinfo | sort -u";
    let host = sh(&Netns::current().unwrap(), below);
    assert_eq!(sandbox.prints(below), host);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place_is_seen() {
    let sandbox = Sandbox::new().await;
    let wait = "cat /etc/hosts; until grep -q eight /etc/hosts; do sleep 0.05; done; exit 5";
    let (mut child, first) = sandbox.started(&format!("timeout 10 sh -c '{wait}'"));
    assert_eq!(first, "192.0.2.7 seven");
    fs::write(sandbox.file("hosts"), "192.0.2.8 eight\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn symbolic_links_are_followed() {
    let sandbox = Sandbox::new().await;
    // A host whose /etc/resolv.conf is a link, as systemd-resolved makes it: a mount namespace with such an /etc.
    let run = format!(
        "mount --make-rprivate / && mkdir -p {dir}/etc {dir}/run && cp -a /etc/. {dir}/etc/ && \
         mount --bind {dir}/etc /etc && rm /etc/resolv.conf && ln -s {dir}/run/stub.conf /etc/resolv.conf && {{ {check}; }}",
        dir = sandbox.dir.path().display(),
        check = format_args!(
            "echo host > {dir}/run/stub.conf; {bin} {dir}/netns {dir}/resolv.conf {dir}/hosts cat /etc/resolv.conf; \
             cat /etc/resolv.conf; rm {dir}/run/stub.conf; \
             {bin} {dir}/netns {dir}/resolv.conf {dir}/hosts cat /etc/resolv.conf || true",
            dir = sandbox.dir.path().display(),
            bin = env!("CARGO_BIN_EXE_netns-command"),
        ),
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-ec", &run]).output().unwrap();
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("nameserver 192.0.2.53\nhost\n"), "{text}{errors}");
    assert!(errors.contains("cannot give the command its own /etc/resolv.conf"), "{text}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_those_of_a_shell() {
    let sandbox = Sandbox::new().await;
    let script = sandbox.file("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    sh(&sandbox.netns, &format!("chmod +x {}", script.display()));
    for (command, code, sentence) in [
        (&["true"][..], 0, ""),
        (&["sh", "-c", "exit 42"], 42, ""),
        (&["sh", "-c", "kill -TERM $$"], 143, ""),
        (&["sh", "-c", "kill -KILL $$"], 137, ""),
        (
            &["no-such-command"],
            127,
            "no-such-command: no command of that name is in a directory of PATH",
        ),
        (&["/no/such/file"], 127, "/no/such/file: no such file"),
        (&["/etc/hosts"], 126, "/etc/hosts: it is not an executable file"),
        (
            &[script.to_str().unwrap()],
            126,
            "the interpreter that its first line names is not there",
        ),
    ] {
        let output = sandbox.output(command);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{command:?}: {errors}");
        assert!(errors.contains(sentence) && errors.lines().count() <= 1, "{command:?}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_privilege_it_is_one_sentence() {
    let sandbox = Sandbox::new().await;
    let command = sandbox.command(&["true"]);
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.starts_with("Error: not permitted to enter a network namespace: run netctl as root"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command() {
    let sandbox = Sandbox::new().await;
    for (signal, name) in
        [(Signal::SIGINT, "INT"), (Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")]
    {
        let (mut child, _) = sandbox
            .started(&format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.05; done"));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
        let (mut child, _) = sandbox.started("echo ready; exec sleep 60");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal as i32), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_outlive_its_parent() {
    let sandbox = Sandbox::new().await;
    let (mut child, pid) = sandbox.started("echo $$; exec sleep 60");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    let process = PathBuf::from("/proc").join(&pid);
    let until = Instant::now() + Duration::from_secs(3);
    let gone = || {
        fs::read_to_string(process.join("status"))
            .map_or(true, |status| status.contains("State:\tZ"))
    };
    while !gone() {
        assert!(Instant::now() < until, "process {pid} lives on");
        thread::sleep(Duration::from_millis(10));
    }
}
