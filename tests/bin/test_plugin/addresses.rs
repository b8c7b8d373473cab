//! An IPAM driver by libnetwork's remote protocol. Pools that it chooses are `10.200.N.0/24` and `fd99:N::/64`, in the
//! order of N, or first what the option `first` says; gateways end in 99, and other addresses begin with 10.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use serde_json::{Value, json};

pub(crate) fn answer(dir: &Path, method: &str, request: &Value) -> Result<Value> {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    match method {
        "GetCapabilities" => {
            let needs = dir.join("requires-mac").exists();
            Ok(json!({"RequiresMACAddress": needs, "RequiresRequestReplay": false}))
        }
        "GetDefaultAddressSpaces" => Ok(json!({
            "LocalDefaultAddressSpace": "desk", "GlobalDefaultAddressSpace": "office",
        })),
        "RequestPool" => {
            let pool = match text("Pool") {
                "" => choose(dir, request)?,
                pool => pool.parse()?,
            };
            let id = format!("{}-{}", text("AddressSpace"), pool.to_string().replace('/', "-"));
            let file = dir.join("pools").join(&id);
            ensure!(!file.exists(), "pool {pool} is taken");
            fs::write(file, request.to_string())?;
            Ok(json!({"PoolID": id, "Pool": pool.to_string(), "Data": {}}))
        }
        "ReleasePool" => take_back(&dir.join("pools").join(text("PoolID"))),
        "RequestAddress" => {
            let id = text("PoolID");
            let pool = pool_of(id)?;
            ensure!(dir.join("pools").join(id).exists(), "there is no pool {id}");
            let file = |address: IpAddr| dir.join("addresses").join(format!("{id}-{address}"));
            let address = match text("Address") {
                "" if request["Options"]["RequestAddressType"] == "com.docker.network.gateway" => {
                    behind(pool, 99)
                }
                "" => (10..99)
                    .map(|last| behind(pool, last))
                    .find(|address| !file(*address).exists())
                    .context("the pool is empty")?,
                address => address.parse()?,
            };
            ensure!(!file(address).exists(), "address {address} is taken");
            fs::write(file(address), request.to_string())?;
            Ok(json!({"Address": format!("{address}/{}", pool.prefix_len()), "Data": {}}))
        }
        "ReleaseAddress" => take_back(&dir.join("addresses").join(format!(
            "{}-{}",
            text("PoolID"),
            text("Address")
        ))),
        other => bail!("{other} is no method"),
    }
}

fn choose(dir: &Path, request: &Value) -> Result<IpNet> {
    let v6 = request["V6"] == true;
    let first = request["Options"]["first"].as_str().map(str::parse).transpose()?;
    let chosen = (1..100_u16).map(|number| {
        if v6 {
            IpNet::new_assert(Ipv6Addr::new(0xfd99, number, 0, 0, 0, 0, 0, 0).into(), 64)
        } else {
            let [_, low] = number.to_be_bytes();
            IpNet::new_assert(Ipv4Addr::new(10, 200, low, 0).into(), 24)
        }
    });
    let taken = |pool: &IpNet| {
        let end = pool.to_string().replace('/', "-");
        ["desk", "office"].iter().any(|s| dir.join("pools").join(format!("{s}-{end}")).exists())
    };
    let first = first.filter(|pool: &IpNet| pool.addr().is_ipv6() == v6);
    first.into_iter().chain(chosen).find(|pool| !taken(pool)).context("no pool is left")
}

fn pool_of(id: &str) -> Result<IpNet> {
    let (_, text) = id.split_once('-').context("a pool of ours")?;
    let (address, length) = text.rsplit_once('-').context("a pool of ours")?;
    Ok(IpNet::new(address.parse()?, length.parse()?)?)
}

fn behind(pool: IpNet, last: u8) -> IpAddr {
    match pool.network() {
        IpAddr::V4(network) => Ipv4Addr::from(u32::from(network) + u32::from(last)).into(),
        IpAddr::V6(network) => Ipv6Addr::from(u128::from(network) + u128::from(last)).into(),
    }
}

fn take_back(file: &Path) -> Result<Value> {
    ensure!(file.exists(), "{} is nobody's", file.file_name().unwrap_or_default().display());
    fs::remove_file(file)?;
    Ok(json!({}))
}
