//! What an engine takes for an answer, by what it does with it (moby, `daemon/libnetwork/drivers/remote`, `ipams/remote`,
//! `pkg/plugins/client.go`). Not by comparison with what another plugin had answered.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use serde_json::Value;

use crate::docker::{ACCEPT, Answer};

/// What an engine makes of an answer.
pub(crate) enum Taken {
    /// It goes on.
    Done(Value),
    /// It shows the sentence, and takes back what it did before.
    Refused(String),
}

/// Reads an answer as an engine does; fails where the engine would be at a loss.
pub(crate) fn take(answer: &Answer) -> Result<Taken> {
    ensure!(answer.content_type == ACCEPT, "{answer:?}");
    let body: Value =
        serde_json::from_str(&answer.body).with_context(|| format!("no JSON: {answer:?}"))?;
    ensure!(body.is_object(), "no object: {answer:?}");
    let (network, ipam) = (&body["Err"], &body["Error"]);
    if answer.status == 200 {
        ensure!(network.is_null() && ipam.is_null(), "an error at 200: {answer:?}");
        return Ok(Taken::Done(body));
    }
    // Of another status than 200 the one is read, of 200 the other: both are there.
    ensure!(answer.status == 500 && network == ipam, "{answer:?}");
    let sentence = network.as_str().unwrap_or_default();
    ensure!(!sentence.is_empty() && !sentence.contains('\n'), "{answer:?}");
    Ok(Taken::Refused(sentence.to_owned()))
}

/// What an engine remembers of what it was told, as far as later answers must fit it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Subnet and range of each pool.
    pools: BTreeMap<String, (IpNet, Option<IpNet>)>,
    /// The addresses of each pool that endpoints have.
    taken: BTreeSet<(String, String)>,
}

impl Memory {
    /// Whether an engine can use what it was answered to `request`.
    pub(crate) fn check(&mut self, call: &str, request: &Value, answer: &Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match call {
            "Plugin.Activate" => {
                let kinds = &answer["Implements"];
                for kind in ["NetworkDriver", "IpamDriver"] {
                    ensure!(
                        kinds.as_array().is_some_and(|all| all.contains(&kind.into())),
                        "{kinds}"
                    );
                }
            }
            "NetworkDriver.GetCapabilities" => {
                let known = |scope: &Value| matches!(scope.as_str(), Some("local" | "global"));
                ensure!(known(&answer["Scope"]) && known(&answer["ConnectivityScope"]));
            }
            "IpamDriver.GetDefaultAddressSpaces" => {
                let (local, global) = (
                    text(&answer["LocalDefaultAddressSpace"]),
                    text(&answer["GlobalDefaultAddressSpace"]),
                );
                ensure!(!local.is_empty() && !global.is_empty() && local != global);
            }
            "IpamDriver.RequestPool" => {
                let pool: IpNet = text(&answer["Pool"]).parse().context("Pool")?;
                ensure!(pool.trunc() == pool && pool.addr().is_ipv6() == (request["V6"] == true));
                let wanted = text(&request["Pool"]);
                ensure!(wanted.is_empty() || wanted == pool.to_string(), "not {wanted}");
                let id = text(&answer["PoolID"]);
                ensure!(!id.is_empty(), "no PoolID");
                let range = text(&request["SubPool"]).parse().ok();
                self.pools.insert(id, (pool, range));
            }
            "IpamDriver.RequestAddress" => self.address(request, answer)?,
            "IpamDriver.ReleaseAddress" => {
                self.taken.remove(&(text(&request["PoolID"]), text(&request["Address"])));
            }
            "NetworkDriver.CreateEndpoint" => {
                interface(&request["Interface"], &answer["Interface"])?;
            }
            "NetworkDriver.Join" => joined(answer)?,
            _ => {}
        }
        Ok(())
    }

    fn address(&mut self, request: &Value, answer: &Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pool = text(&request["PoolID"]);
        let (subnet, range) = self.pools.get(&pool).context("a pool that was never given")?;
        let given: IpNet = text(&answer["Address"]).parse().context("Address")?;
        let address = given.addr().to_string();
        ensure!(
            given.prefix_len() == subnet.prefix_len() && subnet.contains(&given.addr()),
            "{given} is not of {subnet}"
        );
        let wanted = text(&request["Address"]);
        let is_gateway = !request["Options"]["RequestAddressType"].is_null();
        if !wanted.is_empty() {
            ensure!(wanted == address, "{address} for {wanted}");
        } else if !is_gateway {
            ensure!(
                range.is_none_or(|range| range.contains(&given.addr())),
                "{given} of {range:?}"
            );
            ensure!(!self.taken.contains(&(pool.clone(), address.clone())), "{address} twice");
        }
        self.taken.insert((pool, address));
        Ok(())
    }
}

/// What was given must not be said again; what was not must be said, if the driver has it.
fn interface(given: &Value, answered: &Value) -> Result<()> {
    for field in ["Address", "AddressIPv6", "MacAddress"] {
        let (given, answered) = (
            given[field].as_str().unwrap_or_default(),
            answered[field].as_str().unwrap_or_default(),
        );
        ensure!(
            given.is_empty() || answered.is_empty(),
            "{field} {given} is changed to {answered}"
        );
        if field == "MacAddress" && given.is_empty() {
            let bytes: Vec<u8> =
                answered.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
            ensure!(bytes.len() == 6 && bytes[0] & 1 == 0, "{answered:?} is no station's address");
        }
    }
    Ok(())
}

/// An interface by a name that a device can have, and a way out or the word that there is none.
fn joined(answer: &Value) -> Result<()> {
    let name = &answer["InterfaceName"];
    let source = name["SrcName"].as_str().unwrap_or_default();
    ensure!((1..=15).contains(&source.len()), "SrcName {source:?}");
    ensure!(name["DstPrefix"] == "eth", "DstPrefix {}", name["DstPrefix"]);
    let gateways: Vec<&str> = ["Gateway", "GatewayIPv6"]
        .iter()
        .filter_map(|field| answer[*field].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    for gateway in &gateways {
        gateway.parse::<std::net::IpAddr>().with_context(|| format!("gateway {gateway:?}"))?;
    }
    // Otherwise the engine would add a bridge of its own.
    ensure!(gateways.is_empty() == (answer["DisableGatewayService"] == true), "{answer}");
    for route in answer["StaticRoutes"].as_array().into_iter().flatten() {
        route["Destination"].as_str().unwrap_or_default().parse::<IpNet>().context("a route")?;
        let connected = route["RouteType"] == 1;
        ensure!(connected == route["NextHop"].as_str().unwrap_or_default().is_empty(), "{route}");
    }
    Ok(())
}
