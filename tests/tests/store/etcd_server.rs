//! A real etcd, on the loopback interface, with its data in memory.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use tempfile::TempDir;

/// An etcd of one member. It is killed, and its data removed, when dropped.
pub(crate) struct Etcd {
    dir: TempDir,
    ports: [u16; 2],
    scheme: &'static str,
    more: Vec<String>,
    process: Option<Child>,
}

impl Etcd {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::with("http", |_| Vec::new())
    }

    /// Starts one for a scheme, with the arguments that `more` makes for the directory it is given.
    pub(crate) fn with(scheme: &'static str, more: impl Fn(&Path) -> Vec<String>) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let more = more(dir.path());
        let mut etcd = Self { dir, ports: free_ports(), scheme, more, process: None };
        // A port may be taken between its choice and its use.
        for _ in 0..5 {
            if etcd.try_run() {
                return etcd;
            }
            etcd.kill();
            etcd.ports = free_ports();
            drop(std::fs::remove_dir_all(etcd.dir.path().join("data")));
        }
        panic!("etcd does not start: {}", etcd.log());
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.ports[0])
    }

    /// The directory that goes with it.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it again, on the same data and ports.
    pub(crate) fn run(&mut self) {
        assert!(self.try_run(), "etcd does not start again: {}", self.log());
    }

    fn try_run(&mut self) -> bool {
        let peers = format!("http://127.0.0.1:{}", self.ports[1]);
        let log =
            File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new("etcd");
        command
            .args(["--name", "default", "--logger", "zap", "--log-level", "error"])
            .args(["--initial-cluster", &format!("default={peers}")])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(&self.more)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // SAFETY: between fork and exec this makes one system call, and allocates nothing.
        unsafe {
            // So that a test that is killed leaves no etcd.
            command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
        }
        let mut process = command.spawn().expect("the package etcd-server is installed");
        let until = Instant::now() + Duration::from_secs(20);
        let ready = loop {
            if self.answers() {
                break true;
            }
            if process.try_wait().unwrap().is_some() || Instant::now() > until {
                break false;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.process = Some(process);
        ready
    }

    /// Kills it; its data stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Kills it and removes its data.
    pub(crate) fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
    }

    /// A figure from its metrics, by name.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.ask("/metrics").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not among the metrics")).parse().unwrap()
    }

    /// Whether it answers, be it that it is not well. Where it wants certificates, that it listens has to do: it does when it
    /// has joined its cluster.
    fn answers(&self) -> bool {
        match self.scheme {
            "http" => self.ask("/health").is_ok_and(|said| said.contains("health")),
            _ => TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok(),
        }
    }

    fn ask(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0]))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> [u16; 2] {
    // Both at once, so that they differ.
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
