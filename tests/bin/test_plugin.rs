//! `test-plugin ADDRESS DIR`: a network driver and an IPAM driver by libnetwork's remote protocols, at a socket's path or
//! at `HOST:PORT`.
//!
//! A network is a Linux bridge with the gateway's addresses, an endpoint a veth pair with one end in it. In `DIR` it
//! keeps what it has (`networks`, `allocations`, `endpoints`, `pools`, `addresses`), writes down each call (`calls`), and finds how to misbehave
//! (`behaviour`: lines of `METHOD KIND`).

#[path = "test_plugin/addresses.rs"]
mod addresses;

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::PathBuf,
    process::{Command, abort},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(dir)) = (arguments.next(), arguments.next()) else {
        bail!("ADDRESS DIR");
    };
    let plugin = Plugin { dir: PathBuf::from(dir), one: Mutex::new(()) };
    for name in ["networks", "allocations", "endpoints", "pools", "addresses"] {
        fs::create_dir_all(plugin.dir.join(name))?;
    }
    let plugin = Arc::new(plugin);
    if address.starts_with('/') {
        // It may be left from one that was killed.
        drop(fs::remove_file(&address));
        for stream in UnixListener::bind(&address)?.incoming() {
            let stream = stream?;
            plugin.spawn(stream.try_clone()?, stream);
        }
    } else {
        for stream in TcpListener::bind(&address)?.incoming() {
            let stream = stream?;
            plugin.spawn(stream.try_clone()?, stream);
        }
    }
    Ok(())
}

struct Plugin {
    dir: PathBuf,
    /// Held while something is changed.
    one: Mutex<()>,
}

impl Plugin {
    fn spawn(
        self: &Arc<Self>,
        read: impl Read + Send + 'static,
        write: impl Write + Send + 'static,
    ) {
        let plugin = Arc::clone(self);
        // Who asks sees by itself that a connection breaks off.
        thread::spawn(move || drop(plugin.serve(read, write)));
    }

    fn serve(&self, read: impl Read, mut write: impl Write) -> Result<()> {
        let mut read = BufReader::new(read);
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            read.read_line(&mut line)?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                line.split(' ').nth(1).context("a request line")?.clone_into(&mut path);
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body)?;
        let request = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let method = path.trim_start_matches('/');
        self.note(method, &request)?;
        let kind = self.behaviour(method);
        let (status, answer) = match kind.as_deref() {
            Some("err") if method.starts_with("IpamDriver") => {
                (200, json!({"Error": "out of paper"}).to_string())
            }
            Some("err") => (200, json!({"Err": "out of cables"}).to_string()),
            Some("err500") => {
                (500, json!({"Err": "out of cables", "Error": "out of cables"}).to_string())
            }
            Some("notfound") => (404, "404 page not found".to_owned()),
            Some("stall") => {
                thread::sleep(Duration::from_hours(1));
                return Ok(());
            }
            _ => {
                let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
                match self.answer(method, &request) {
                    Ok(answer) => (200, answer.to_string()),
                    Err(error) => {
                        let text = format!("{error:#}");
                        (200, json!({"Err": text, "Error": text}).to_string())
                    }
                }
            }
        };
        let answer = match kind.as_deref() {
            Some("garbage") => "<html>".to_owned(),
            Some("empty") => String::new(),
            Some("change") => json!({"Interface": {"Address": "10.1.2.3/24"}}).to_string(),
            Some("no-device") => json!({"InterfaceName": {"SrcName": "nowhere"}}).to_string(),
            Some("outside") => json!({"Address": "203.0.113.1/24"}).to_string(),
            Some("other-pool") => json!({"PoolID": "x", "Pool": "203.0.113.0/24"}).to_string(),
            Some("nameless") => json!({"Pool": "10.200.1.0/24"}).to_string(),
            Some("bad-gateway") => json!({"Gateway": "10.0.0.0/8"}).to_string(),
            _ => answer,
        };
        let length = answer.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{answer}");
        if kind.as_deref() == Some("die") {
            write.write_all(&text.as_bytes()[..20])?;
            abort();
        }
        Ok(write.write_all(text.as_bytes())?)
    }

    fn note(&self, method: &str, request: &Value) -> Result<()> {
        let mut calls =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.join("calls"))?;
        // At once: others may be writing too.
        let line = format!("{}\n", json!({"method": method, "request": request}));
        Ok(calls.write_all(line.as_bytes())?)
    }

    fn behaviour(&self, method: &str) -> Option<String> {
        let text = fs::read_to_string(self.dir.join("behaviour")).ok()?;
        let of = |line: &str| Some(line.strip_prefix(method)?.strip_prefix(' ')?.to_owned());
        text.lines().find_map(of)
    }

    fn answer(&self, method: &str, request: &Value) -> Result<Value> {
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let (network, endpoint) = (text("NetworkID"), text("EndpointID"));
        let scope = fs::read_to_string(self.dir.join("scope")).unwrap_or("local".to_owned());
        match method {
            "Plugin.Activate" => Ok(json!({"Implements": ["NetworkDriver", "IpamDriver"]})),
            "NetworkDriver.GetCapabilities" => {
                Ok(json!({"Scope": scope.trim(), "ConnectivityScope": ""}))
            }
            "NetworkDriver.AllocateNetwork" => self.allocate_network(&network, request),
            "NetworkDriver.FreeNetwork" => self.forget("allocations", &network).map(|()| json!({})),
            "NetworkDriver.CreateNetwork" => self.create_network(&network, request),
            "NetworkDriver.DeleteNetwork" => {
                self.forget("networks", &network)?;
                ip(&["link", "del", &bridge(&network)])
            }
            "NetworkDriver.CreateEndpoint" => self.create_endpoint(&network, &endpoint, request),
            "NetworkDriver.DeleteEndpoint" => {
                self.forget("endpoints", &endpoint)?;
                ip(&["link", "del", &port(&endpoint)])
            }
            "NetworkDriver.Join" => {
                self.known("endpoints", &endpoint)?;
                Ok(join(&self.known("networks", &network)?, &endpoint))
            }
            "NetworkDriver.Leave" | "NetworkDriver.RevokeExternalConnectivity" => {
                self.known("endpoints", &endpoint).map(|_| json!({}))
            }
            "NetworkDriver.ProgramExternalConnectivity" => {
                self.known("endpoints", &endpoint).map(|_| json!({}))
            }
            _ if method.starts_with("IpamDriver.") => {
                addresses::answer(&self.dir, &method["IpamDriver.".len()..], request)
            }
            "NetworkDriver.EndpointOperInfo" => Ok(json!({"Value": {"test.info": "x"}})),
            _ => Ok(json!({})),
        }
    }

    /// Gives back what it was told, and a number that is the network's own.
    fn allocate_network(&self, id: &str, request: &Value) -> Result<Value> {
        let file = self.dir.join("allocations").join(id);
        ensure!(!file.exists(), "network {id} has a number already");
        fs::write(file, request.to_string())?;
        let mut options = request["Options"].clone();
        options["test.number"] = json!(id.get(..8).unwrap_or_default());
        Ok(json!({"Options": options}))
    }

    fn create_network(&self, id: &str, request: &Value) -> Result<Value> {
        let file = self.dir.join("networks").join(id);
        ensure!(!file.exists(), "network {id} exists already");
        fs::write(file, request.to_string())?;
        let bridge = bridge(id);
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        for family in ["IPv4Data", "IPv6Data"] {
            for data in request[family].as_array().into_iter().flatten() {
                let gateway = data["Gateway"].as_str().context("a gateway")?;
                ip(&["addr", "add", gateway, "dev", &bridge, "nodad"])?;
            }
        }
        ip(&["link", "set", &bridge, "up"])
    }

    fn create_endpoint(&self, network: &str, id: &str, request: &Value) -> Result<Value> {
        self.known("networks", network)?;
        let file = self.dir.join("endpoints").join(id);
        ensure!(!file.exists(), "endpoint {id} exists already");
        fs::write(file, request.to_string())?;
        let (port, device) = (port(id), device(id));
        ip(&["link", "add", &port, "type", "veth", "peer", "name", &device])?;
        ip(&["link", "set", &port, "master", &bridge(network), "up"])?;
        if request["Interface"]["MacAddress"] != "" {
            return Ok(json!({}));
        }
        let byte = |at: usize| id.get(at..at + 2).unwrap_or("00");
        let mac = format!("02:42:{}:{}:{}:{}", byte(0), byte(2), byte(4), byte(6));
        Ok(json!({"Interface": {"MacAddress": mac}}))
    }

    fn known(&self, kind: &str, id: &str) -> Result<Value> {
        let text = fs::read(self.dir.join(kind).join(id)).ok();
        let text = text.with_context(|| format!("unknown {}", &kind[..kind.len() - 1]))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn forget(&self, kind: &str, id: &str) -> Result<()> {
        self.known(kind, id)?;
        Ok(fs::remove_file(self.dir.join(kind).join(id))?)
    }
}

/// What the network's options say of it: `prefix`, and `route` with a destination and a next hop.
fn join(network: &Value, endpoint: &str) -> Value {
    let generic = &network["Options"]["com.docker.network.generic"];
    let gateway = |family: &str| {
        let text = network[family][0]["Gateway"].as_str().unwrap_or_default();
        text.split('/').next().unwrap_or_default().to_owned()
    };
    let route = generic["route"].as_str().and_then(|route| route.split_once(','));
    let routes: Vec<Value> = route
        .map(|(to, by)| json!({"Destination": to, "RouteType": 0, "NextHop": by}))
        .into_iter()
        .collect();
    json!({
        "InterfaceName": {
            "SrcName": device(endpoint),
            "DstPrefix": generic["prefix"].as_str().unwrap_or("eth"),
        },
        "Gateway": gateway("IPv4Data"),
        "GatewayIPv6": gateway("IPv6Data"),
        "StaticRoutes": routes,
    })
}

fn bridge(network: &str) -> String {
    format!("pb{}", &network[..8])
}

fn port(endpoint: &str) -> String {
    format!("pp{}", &endpoint[..8])
}

fn device(endpoint: &str) -> String {
    format!("pd{}", &endpoint[..8])
}

fn ip(words: &[&str]) -> Result<Value> {
    let output = Command::new("ip").args(words).output()?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(json!({}))
}
