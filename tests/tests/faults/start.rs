//! Daemons that cannot start: one sentence, exit code 1, and nothing left behind.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    time::Duration,
};

use anyhow::{Result, ensure};
use testbed::{Host, Lab, Options, Output, output};

use crate::state;

fn bare(hosts: u8) -> Result<Lab> {
    Lab::start(Options { hosts, daemons: false, ..Options::default() })
}

/// The words of a daemon on `host` with directories below `<lab>/<home>`.
fn words(lab: &Lab, home: &str, store: &str, further: &str) -> Vec<String> {
    let home = lab.dir().join(home);
    let mut words: Vec<String> = vec!["netctl".to_owned(), "daemon".to_owned()];
    for name in ["run", "state", "bpf", "netns"] {
        words.push(format!("--{name}-dir={}", home.join(name).display()));
    }
    words.push(format!("--store={store}"));
    words.extend(further.split_whitespace().map(str::to_owned));
    words
}

fn start(host: &Host, words: &[String]) -> Result<Output> {
    host.run_within(Duration::from_secs(10), words)
}

/// The last line that a daemon says is the error, and is the only one of its kind.
#[track_caller]
fn assert_refused(output: &Output, code: i32, sentence: &str) {
    let errors: Vec<&str> =
        output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(
        (output.code(), errors.as_slice()),
        (code, &[&*format!("error: {sentence}")][..]),
        "{}",
        output.stderr
    );
}

fn links(host: &Host) -> Result<String> {
    host.run(["ip", "-o", "addr"])?.ok()
}

#[test]
fn without_root() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    // As one who may enter no namespace: so it is entered before the rights are given up.
    let home = lab.dir().join("nobody");
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777))?;
    let before = links(host)?;
    let output = host.netns().within(|| {
        let mut command = std::process::Command::new(lab.dir().join("bin/netctl"));
        command.args(&words(&lab, "nobody", "file", "")[1..]).uid(65534).gid(65534);
        output(command, Duration::from_secs(10))
    })?;
    assert_refused(
        &output,
        1,
        "netctl needs root, or the capabilities that this process lacks: CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF",
    );
    ensure!(fs::read_dir(&home)?.next().is_none(), "files are left in {}", home.display());
    assert_eq!(before, links(host)?);
    lab.end()
}

#[test]
fn the_underlay_must_be_usable() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    host.netns().ip([
        "link add down0 type veth peer name down1",
        "addr add 198.51.100.1/24 dev down0",
        "link add bare0 type veth peer name bare1",
        "link set bare0 up",
        "link set bare1 up",
    ])?;
    let before = links(host)?;
    for (further, sentence) in [
        (
            "--bind-interface wan0",
            "there is no interface wan0 to bind to: choose one of eth0, down1, down0, bare1, bare0 with --bind-interface",
        ),
        (
            "--bind-interface down0",
            "the interface down0 is down: `ip link set down0 up`, or choose another with --bind-interface",
        ),
        (
            "--bind-interface bare0",
            "the interface bare0 has no address to reach other hosts by: give it one, or choose another with --bind-interface",
        ),
    ] {
        assert_refused(&start(host, &words(&lab, "home", "file", further))?, 1, sentence);
        assert_eq!(before, links(host)?);
    }
    for (further, sentence) in [
        (
            "--bind-interface a/b",
            "--bind-interface \"a/b\" is not usable: it is no name of a device",
        ),
        ("--vxlan-port 0", "--vxlan-port \"0\" is not usable: a port is from 1 to 65535"),
        (
            "--log loud=very",
            "--log \"loud=very\" is not usable: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5: write error, warn, info, debug, trace or off, or MODULE=LEVEL, with commas between",
        ),
    ] {
        assert_refused(&start(host, &words(&lab, "home", "file", further))?, 2, sentence);
    }
    host.netns().ip(["addr add 203.0.113.1/24 dev bare0"])?;
    let before = links(host)?;
    assert_refused(
        &start(host, &words(&lab, "home", "file", ""))?,
        1,
        "there is no default route, and several interfaces could reach other hosts (eth0, bare0): \
         choose one with --bind-interface",
    );
    host.netns().ip(["addr del 203.0.113.1/24 dev bare0", "addr del 192.0.2.1/24 dev eth0"])?;
    assert_refused(
        &start(host, &words(&lab, "home", "file", ""))?,
        1,
        "no interface is up with an address to reach other hosts by: give one an address, and \
         name it with --bind-interface",
    );
    host.netns().ip(["addr add 203.0.113.1/24 dev bare0", "addr add 192.0.2.1/24 dev eth0"])?;
    ensure!(before.lines().count() == links(host)?.lines().count(), "{before}");
    ensure!(!lab.dir().join("home/bpf").join(state::pins_dir()).exists(), "pins are left");
    lab.end()
}

#[test]
fn directories_and_names_are_one_daemons() -> Result<()> {
    let lab = Lab::start(Options { hosts: 2, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let h1_home = h1.dir("run").parent().expect("a directory").to_owned();
    let with = |host: &Host, own: &str, shared: &[&str], further: &str| {
        let mut words = words(&lab, own, &lab.store_of(host), further);
        for name in shared {
            words.push(format!("--{name}-dir={}", h1_home.join(name).display()));
            words.retain(|word| {
                !word.starts_with(&format!("--{name}-dir={}", lab.dir().join(own).display()))
            });
        }
        start(host, &words)
    };
    let before = (state::machine(h1)?, state::machine(h2)?, state::dump(&lab)?);
    assert_refused(
        &with(h1, "second", &["run"], "--bind-interface eth0 --host-name other")?,
        1,
        &format!(
            "another netctl daemon is running with --run-dir {}; stop it, or give this one directories of its own",
            h1.dir("run").display()
        ),
    );
    assert_refused(
        &with(h1, "second", &["bpf"], "--bind-interface eth0 --host-name other2")?,
        1,
        &format!(
            "{} belongs to another netctl daemon that is running; stop it, or give this one another --bpf-dir",
            h1.dir("bpf").display()
        ),
    );
    assert_refused(
        &with(h2, "third", &[], "--bind-interface eth0 --host-name h1")?,
        1,
        "host name h1 is taken by the host with address 192.0.2.1: give this one another with --host-name",
    );
    // All its own, in a namespace where another daemon works: the underlay has one netctl.
    let output = with(h1, "fourth", &[], "--bind-interface eth0 --host-name other3")?;
    ensure!(
        output.code() == 1
            && output.stderr.contains("error: eth0 already runs from_underlay of another netctl"),
        "{}",
        output.stderr
    );
    let after = (state::machine(h1)?, state::machine(h2)?, state::dump(&lab)?);
    assert_eq!(before, after);
    lab.end()
}

#[test]
fn the_stores_file_must_be_usable() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    let dir = lab.dir().display().to_string();
    fs::write(
        lab.dir().join("text"),
        "this is no database, but a text that is long enough\n".repeat(40),
    )?;
    fs::create_dir_all(lab.dir().join("directory"))?;
    let further = "--bind-interface eth0";
    let before = links(host)?;
    for (store, sentence) in [
        (
            "file:text",
            "the store at file DIR/text refuses: it is not an SQLite file, or is damaged; name another file, or move it away to begin with nothing",
        ),
        (
            "file:directory",
            "the store at file DIR/directory refuses: it cannot be opened for writing, or its directory is not writable (unable to open database file: DIR/directory)",
        ),
        (
            "file:text/below",
            "the store at file DIR/text/below refuses: its directory cannot be made: File exists (os error 17)",
        ),
    ] {
        let store = store.replace("file:", &format!("file:{dir}/"));
        assert_refused(
            &start(host, &words(&lab, "home", &store, further))?,
            1,
            &sentence.replace("DIR", &dir),
        );
    }
    assert_refused(
        &start(host, &words(&lab, "home", "redis:http://a:1", further))?,
        2,
        "--store \"redis:http://a:1\" is not usable: write file, file:PATH or etcd:http://HOST:2379[,http://HOST:2379...]",
    );
    assert_eq!(before, links(host)?);
    assert_untouched(&lab.dir().join("home"))?;
    // A store that was good, and of which a part was overwritten.
    let store = format!("file:{dir}/good.db");
    let mut daemon = host.spawn("good", words(&lab, "home", &store, further))?;
    testbed::eventually("the daemon listens", Duration::from_secs(20), || {
        ensure!(lab.dir().join("home/run/netctl.sock").exists());
        Ok(())
    })?;
    daemon.stop(testbed::Signal::SIGTERM, Duration::from_secs(10))?;
    for log in ["good.db-wal", "good.db-shm"] {
        drop(fs::remove_file(lab.dir().join(log)));
    }
    let mut bytes = fs::read(lab.dir().join("good.db"))?;
    bytes.iter_mut().skip(100).for_each(|byte| *byte = 0xa5);
    fs::write(lab.dir().join("good.db"), bytes)?;
    assert_refused(
        &start(host, &words(&lab, "home", &store, further))?,
        1,
        &format!(
            "the store at file {dir}/good.db refuses: it is damaged; restore it from a copy, or move it away to begin with nothing"
        ),
    );
    lab.end()
}

fn assert_untouched(home: &Path) -> Result<()> {
    for name in [&format!("bpf/{}", state::pins_dir()), "netns", "run/netctl.sock"] {
        ensure!(!home.join(name).exists(), "{name} is left");
    }
    Ok(())
}

#[test]
fn the_port_of_vxlan_must_be_free() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    let further = "--bind-interface eth0";
    host.netns().ip([
        "link add other type vxlan id 7 dstport 4789 remote 192.0.2.9 dev eth0",
        "link set other up",
    ])?;
    let before = links(host)?;
    let taken = |holder: &str| {
        format!(
            "UDP port 4789 is taken by {holder}: remove it, or choose another port with --vxlan-port"
        )
    };
    let words = words(&lab, "home", "file", further);
    assert_refused(&start(host, &words)?, 1, &taken("the vxlan device other"));
    assert_eq!(before, links(host)?);
    host.netns().ip(["link del other"])?;
    let _socket = host.netns().within(|| Ok(std::net::UdpSocket::bind("0.0.0.0:4789")?))?;
    assert_refused(&start(host, &words)?, 1, &taken("the socket of another program"));
    ensure!(!links(host)?.contains("netctl-vx"), "the device is left");
    lab.end()
}

#[test]
fn the_bpf_directory_must_be_able_to_be_one() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    fs::write(lab.dir().join("file"), "")?;
    let mut words = words(&lab, "home", "file", "--bind-interface eth0");
    words.retain(|word| !word.starts_with("--bpf-dir"));
    words.push(format!("--bpf-dir={}/file", lab.dir().display()));
    let before = links(host)?;
    let output = start(host, &words)?;
    assert_refused(
        &output,
        1,
        &format!(
            "cannot create {}/file: File exists (os error 17); give the daemon another --bpf-dir, \
             or mount a bpf file system there",
            lab.dir().display()
        ),
    );
    assert_eq!(before, links(host)?);
    lab.end()
}

#[test]
fn sockets_that_are_passed_must_be_such() -> Result<()> {
    let lab = bare(1)?;
    let host = lab.host(1);
    let words = words(&lab, "home", "file", "--bind-interface eth0");
    let with = |passed: &str| {
        let script = format!("{passed}; export LISTEN_PID=$$ LISTEN_FDS; exec \"$@\"");
        let words = ["sh", "-c", &script, "sh"].into_iter().chain(words.iter().map(String::as_str));
        host.run_within(Duration::from_secs(10), words)
    };
    let before = links(host)?;
    let none = "file descriptor 3, which LISTEN_FDS passes, is no unix socket that listens at a path: netctl takes none \
                but such, as netctl.socket has them";
    for (passed, sentence) in [
        ("LISTEN_FDS=1", none),
        ("LISTEN_FDS=1; exec 3</dev/null", none),
        (
            "LISTEN_FDS=many",
            "LISTEN_FDS is \"many\": a service manager passes from 0 to 64 sockets",
        ),
    ] {
        assert_refused(&with(passed)?, 1, sentence);
        assert_eq!(before, links(host)?);
    }
    lab.end()
}
