//! An engine, as far as a plugin sees it: what it sends, byte for byte, and what it takes for an answer.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use testbed::Host;

/// The form of answers that an engine asks for.
pub(crate) const ACCEPT: &str = "application/vnd.docker.plugins.v1.2+json";
const DEADLINE: Duration = Duration::from_mins(1);

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// The engine of one host.
pub(crate) struct Docker {
    socket: PathBuf,
    /// Of what everything that it makes is named, so that two engines never give the same identifier.
    seed: String,
    made: std::cell::Cell<u32>,
}

/// What an engine knows of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) id: String,
    pub(crate) cidr: String,
    pub(crate) gateway: String,
}

impl Docker {
    /// The one that uses the host's plugin socket.
    pub(crate) fn of(host: &Host) -> Self {
        Self::at(host.dir("docker").join("plugins/netctl.sock"), host.name())
    }

    /// One that uses the plugin socket `socket`.
    pub(crate) fn at(socket: PathBuf, seed: &str) -> Self {
        Self { socket, seed: seed.to_owned(), made: std::cell::Cell::new(0) }
    }

    /// An identifier that nobody had before.
    pub(crate) fn id(&self) -> String {
        let number = self.made.replace(self.made.get() + 1);
        let seed = self.seed.bytes().fold(0_u32, |sum, byte| sum * 31 + u32::from(byte));
        // The first twelve digits tell endpoints apart, as those of random ones do.
        format!("{seed:04x}{number:08x}{}", "5a".repeat(26))
    }

    /// Sends what is given as a body, whatever it is.
    pub(crate) fn send(&self, head: &str, body: &[u8]) -> Result<Answer> {
        send(&self.socket, head, body)
    }

    /// Calls as an engine does: without Content-Type, with an empty Host.
    pub(crate) fn call(&self, method: &str, request: &Value) -> Result<Answer> {
        send_call(&self.socket, method, request)
    }

    /// Calls, and takes the answer as an engine does that reads both errors' names.
    pub(crate) fn ask(&self, method: &str, request: &Value) -> Result<Value> {
        let answer = self.call(method, request)?;
        let body: Value = serde_json::from_str(&answer.body)
            .with_context(|| format!("{method} {request}: {answer:?}"))?;
        let said = body["Err"].as_str().or(body["Error"].as_str()).unwrap_or_default();
        ensure!(answer.status == 200 && said.is_empty(), "{method} {request}: {said}");
        Ok(body)
    }

    /// The sentence by which a call is refused, in the form that every engine reads.
    pub(crate) fn refused(&self, method: &str, request: &Value) -> Result<String> {
        let answer = self.call(method, request)?;
        ensure!(answer.status == 500, "{method} {request}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.body)?;
        ensure!(body["Err"] == body["Error"], "{body}");
        body["Err"].as_str().map(str::to_owned).ok_or_else(|| anyhow!("no sentence: {body}"))
    }

    /// What comes before `network create`: a pool and its gateway.
    pub(crate) fn pool(&self, cidr: &str, options: &Value) -> Result<Pool> {
        let v6 = cidr.contains(':');
        let asked = json!({
            "AddressSpace": "netctl-local", "Pool": cidr, "SubPool": "", "Options": options, "V6": v6,
        });
        let given = self.ask("IpamDriver.RequestPool", &asked)?;
        let text = |field: &str| given[field].as_str().map(str::to_owned).context(field.to_owned());
        let (id, cidr) = (text("PoolID")?, text("Pool")?);
        let asked = json!({
            "PoolID": id, "Address": "",
            "Options": {"RequestAddressType": "com.docker.network.gateway"},
        });
        let given = self.ask("IpamDriver.RequestAddress", &asked)?;
        let gateway = given["Address"].as_str().context("no gateway")?.to_owned();
        Ok(Pool { id, cidr, gateway })
    }

    /// All of `network create --subnet CIDR`; its identifier and its pool.
    pub(crate) fn network(&self, cidr: &str) -> Result<(String, Pool)> {
        let pool = self.pool(cidr, &json!({}))?;
        let id = self.id();
        self.ask("NetworkDriver.CreateNetwork", &create(&id, &[&pool], &json!({})))?;
        Ok((id, pool))
    }

    /// An address of a pool: this one, or any.
    pub(crate) fn address(&self, pool: &Pool, wanted: &str) -> Result<String> {
        let asked = json!({"PoolID": pool.id, "Address": wanted, "Options": null});
        let given = self.ask("IpamDriver.RequestAddress", &asked)?;
        Ok(given["Address"].as_str().context("no address")?.to_owned())
    }

    /// All of `network rm`, in Docker's order.
    pub(crate) fn remove(&self, network: &str, pools: &[&Pool]) -> Result<()> {
        for pool in pools {
            let gateway = pool.gateway.split('/').next().unwrap_or_default();
            let asked = json!({"PoolID": pool.id, "Address": gateway});
            self.ask("IpamDriver.ReleaseAddress", &asked)?;
            self.ask("IpamDriver.ReleasePool", &json!({"PoolID": pool.id}))?;
        }
        self.ask("NetworkDriver.DeleteNetwork", &json!({"NetworkID": network})).map(drop)
    }
}

/// The call of `network create` behind its pools.
pub(crate) fn create(id: &str, pools: &[&Pool], options: &Value) -> Value {
    let data = |v6: bool| -> Vec<Value> {
        let of = pools.iter().filter(|pool| pool.cidr.contains(':') == v6);
        of.map(|pool| {
            json!({"AddressSpace": "netctl-local", "Gateway": pool.gateway, "Pool": pool.cidr})
        })
        .collect()
    };
    let mut all = json!({
        "com.docker.network.enable_ipv6": !data(true).is_empty(),
        "com.docker.network.generic": {},
    });
    for (name, value) in options.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    json!({"NetworkID": id, "Options": all, "IPv4Data": data(false), "IPv6Data": data(true)})
}

/// A call as an engine makes it.
pub(crate) fn send_call(socket: &Path, method: &str, request: &Value) -> Result<Answer> {
    let body = if request.is_null() { String::new() } else { request.to_string() };
    let head = format!(
        "POST /{method} HTTP/1.1\r\nHost: \r\nAccept: {ACCEPT}\r\nContent-Length: {}\r\n",
        body.len()
    );
    send(socket, &head, body.as_bytes())
}

/// One exchange over a connection of its own.
pub(crate) fn send(socket: &Path, head: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("nobody answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    // Who refuses a body need not read it.
    let _sent = stream.write_all(body);
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8(text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
    });
    Ok(Answer {
        status: status.with_context(|| format!("no status: {head}"))?,
        content_type: content_type.unwrap_or_default(),
        body: body.to_owned(),
    })
}
