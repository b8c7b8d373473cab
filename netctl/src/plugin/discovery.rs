//! Where a plugin listens, by the files that Docker looks for.
//!
//! A socket `NAME.sock` or `NAME/NAME.sock` comes before all others, then, in each directory, `NAME.spec`, which holds
//! one URL, and `NAME.json`; both may lie in a directory `NAME` too (moby, `pkg/plugins/discovery.go`).

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::net::{TcpStream, UnixStream};

use super::Error;

/// The longest file that is read, in bytes.
const FILE: u64 = 64 * 1024;
/// How long a plugin that is there takes at most until somebody is connected to it.
const CONNECT: Duration = Duration::from_secs(1);

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// At a socket in the file system.
    Unix(PathBuf),
    /// At a host and port: `HOST:PORT`.
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(authority) => f.write_str(authority),
        }
    }
}

/// A plugin as it was started: one that is started again binds its socket again, and so has another. Of one that is
/// reached by TCP that is not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    address: Address,
    /// The device and the number of the socket's file, and when it was made.
    socket: Option<(u64, u64, (i64, i64))>,
}

impl Incarnation {
    /// That of the plugin at an address; none where there is no socket.
    pub(super) fn of(address: Address) -> Option<Self> {
        let socket = match &address {
            Address::Unix(path) => {
                let file = fs::metadata(path).ok()?;
                Some((file.dev(), file.ino(), (file.ctime(), file.ctime_nsec())))
            }
            Address::Tcp(_) => None,
        };
        Some(Self { address, socket })
    }

    /// Whether somebody can be connected to it now.
    pub async fn listens(&self) -> bool {
        let connect = async {
            match &self.address {
                Address::Unix(path) => UnixStream::connect(path).await.is_ok(),
                Address::Tcp(authority) => TcpStream::connect(authority).await.is_ok(),
            }
        };
        tokio::time::timeout(CONNECT, connect).await.unwrap_or(false)
    }
}

#[derive(Debug, Deserialize)]
struct Description {
    #[serde(rename = "Addr")]
    address: String,
    #[serde(rename = "TLSConfig")]
    tls: Option<serde_json::Value>,
}

/// Finds the plugin of a name in `dirs`, the first first.
pub(super) fn find(name: &str, dirs: &[PathBuf]) -> Result<Address, Error> {
    let places = |dir: &Path, extension: &str| {
        let file = format!("{name}.{extension}");
        [dir.join(&file), dir.join(name).join(&file)]
    };
    let sockets = dirs.iter().flat_map(|dir| places(dir, "sock"));
    for path in sockets {
        if fs::metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            return Ok(Address::Unix(path));
        }
    }
    for dir in dirs {
        for path in places(dir, "spec").into_iter().chain(places(dir, "json")) {
            let unusable =
                |reason: String| Error::File { name: name.to_owned(), path: path.clone(), reason };
            let Some(text) = read(&path).map_err(|error| unusable(error.to_string()))? else {
                continue;
            };
            let found = if path.extension().is_some_and(|extension| extension == "json") {
                described(&text)
            } else {
                parse(text.trim())
            };
            return found.map_err(unusable);
        }
    }
    Err(Error::Missing {
        name: name.to_owned(),
        dirs: dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// The text of a file, if it is there.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // `NAME` is a file, and not a directory with more files.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(FILE).read_to_string(&mut text)?;
    Ok(Some(text))
}

fn described(text: &str) -> Result<Address, String> {
    let Description { address, tls } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    match tls {
        Some(tls) if !tls.is_null() => Err(
            "it asks for TLS, which netctl does not speak with plugins: have the plugin listen at a socket".to_owned(),
        ),
        _ => parse(&address),
    }
}

fn parse(url: &str) -> Result<Address, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!(
            "{url:?} is no URL such as unix:///run/plugin.sock or tcp://host:port"
        ));
    };
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Address::Unix(PathBuf::from(rest))),
        "unix" => Err(format!("{url:?} names no socket by its whole path")),
        "tcp" | "http" => {
            let authority = rest.split('/').next().unwrap_or_default();
            let port = authority.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
            match port {
                Some((host, Ok(_))) if !host.is_empty() => Ok(Address::Tcp(authority.to_owned())),
                _ => Err(format!("{url:?} names no host and port")),
            }
        }
        "https" => Err(format!(
            "{url:?} asks for TLS, which netctl does not speak with plugins: have the plugin listen at a socket"
        )),
        _ => Err(format!("{url:?} is of no scheme that netctl knows: unix, tcp, http")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn dirs(&self) -> [PathBuf; 2] {
            ["one", "two"].map(|name| self.0.path().join(name))
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("below the directory")).expect("made");
            fs::write(path, text).expect("written");
        }

        fn listen(&self, path: &str) -> PathBuf {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("below the directory")).expect("made");
            drop(UnixListener::bind(&path).expect("bound"));
            path
        }

        fn find(&self, name: &str) -> Result<String, String> {
            let found = find(name, &self.dirs());
            found.map(|at| at.to_string()).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_socket_comes_before_a_spec_and_a_spec_before_json() {
        let files = Files::new();
        files.write("one/p.json", r#"{"Name": "p", "Addr": "tcp://127.0.0.1:1"}"#);
        assert_eq!(files.find("p"), Ok("127.0.0.1:1".to_owned()));
        files.write("one/p/p.spec", "unix:///run/p.sock\n");
        assert_eq!(files.find("p"), Ok("/run/p.sock".to_owned()));
        files.write("one/p.spec", "http://[::1]:80/");
        assert_eq!(files.find("p"), Ok("[::1]:80".to_owned()));
        let nested = files.listen("two/p/p.sock");
        assert_eq!(files.find("p"), Ok(nested.display().to_string()));
        let socket = files.listen("two/p.sock");
        assert_eq!(files.find("p"), Ok(socket.display().to_string()));
    }

    #[test]
    fn directories_are_looked_in_in_order() {
        let files = Files::new();
        files.write(
            "one/p.json",
            r#"{"Name": "p", "Addr": "tcp://127.0.0.1:1", "TLSConfig": null}"#,
        );
        files.write("two/p.spec", "tcp://127.0.0.1:2");
        assert_eq!(files.find("p"), Ok("127.0.0.1:1".to_owned()));
    }

    #[test]
    fn what_is_no_socket_is_none() {
        let files = Files::new();
        files.write("one/p.sock", "");
        let error = files.find("p").expect_err("a file is no socket");
        let dirs = files.dirs().map(|dir| dir.display().to_string()).join(", ");
        assert_eq!(
            error,
            format!("there is no plugin p: neither p.sock nor p.spec nor p.json is in {dirs}")
        );
    }

    #[test]
    fn unusable_files_say_why() {
        for (file, text, reason) in [
            ("p.spec", "", "\"\" is no URL such as unix:///run/plugin.sock or tcp://host:port"),
            ("p.spec", "unix://p.sock", "\"unix://p.sock\" names no socket by its whole path"),
            ("p.spec", "tcp://host", "\"tcp://host\" names no host and port"),
            ("p.spec", "tcp://:80", "\"tcp://:80\" names no host and port"),
            ("p.spec", "tcp://host:99999", "\"tcp://host:99999\" names no host and port"),
            ("p.spec", "fd://3", "\"fd://3\" is of no scheme that netctl knows: unix, tcp, http"),
            ("p.spec", "https://host:443", "\"https://host:443\" asks for TLS, which"),
            ("p.json", "{", "EOF while parsing"),
            ("p.json", r#"{"Name": "p"}"#, "missing field `Addr`"),
            (
                "p.json",
                r#"{"Addr": "tcp://h:1", "TLSConfig": {}}"#,
                "it asks for TLS, which netctl",
            ),
        ] {
            let files = Files::new();
            files.write(&format!("one/{file}"), text);
            let error = files.find("p").expect_err(text);
            let path = files.dirs()[0].join(file);
            let start = format!("plugin p: {} is not usable: {reason}", path.display());
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
