//! The network configuration: what people wrote into a file, and what the runtime added.

use std::{
    collections::BTreeMap, fmt, marker::PhantomData, net::IpAddr, num::NonZeroU16, path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer as _, SeqAccess, Visitor, value::SeqAccessDeserializer,
    },
};
use serde_json::Value;

use super::{
    call::Call,
    error::{Code, Error, Result},
    version::Version,
};
use crate::model::{
    CniName, ContainerDevice, DeviceName, DriverName, Name, NetworkSpec, RangeSpec, ResolverOption,
    SearchDomain,
};

/// Where the daemon listens where nothing else is said.
pub const SOCKET: &str = "/run/netctl/netctl.sock";

/// How long the daemon may take where nothing else is said: longer than it waits for the kernel, shorter than people do
/// for a container.
const TIMEOUT: Duration = Duration::from_mins(1);

/// What every request needs. The rest is not looked at when a container leaves: nothing in it may be in the way then.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) name: CniName,
    pub(super) socket: PathBuf,
    /// How long the daemon may take.
    pub(super) timeout: Duration,
    valid: Option<Vec<Valid>>,
    pub(super) previous: Option<Value>,
}

/// One attachment that is to stay.
#[derive(Clone, Debug, Deserialize)]
struct Valid {
    #[serde(rename = "containerID")]
    container: CniName,
    ifname: DeviceName,
}

#[derive(Deserialize)]
struct HeadWire {
    #[serde(default, rename = "cniVersion")]
    version: String,
    name: CniName,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    timeout: Option<NonZeroU16>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid: Option<Vec<Valid>>,
    #[serde(default, rename = "prevResult")]
    previous: Option<Value>,
}

impl Head {
    pub(super) fn read(call: &Call) -> Result<Self> {
        let wire: HeadWire = part(call.configuration()?)?;
        let version = Version::parse(&wire.version).ok_or_else(|| {
            let spoken = Version::ALL.map(Version::as_str).join(", ");
            let why = format!(
                "cniVersion of network configuration {} is {:?}: netctl-cni speaks {spoken}",
                wire.name, wire.version
            );
            Error::new(Code::IncompatibleVersion, why)
        })?;
        Ok(Self {
            version,
            name: wire.name,
            socket: wire.socket.unwrap_or_else(|| SOCKET.into()),
            timeout: wire
                .timeout
                .map_or(TIMEOUT, |seconds| Duration::from_secs(seconds.get().into())),
            valid: wire.valid,
            previous: wire.previous.filter(|previous| !previous.is_null()),
        })
    }

    /// What GC is to leave. Where nothing is said of it, nothing can be told from what is to go.
    pub(super) fn valid(&self) -> Result<Vec<ContainerDevice>> {
        let valid = self.valid.clone().ok_or_else(|| {
            let why = "GC needs cni.dev/valid-attachments: the runtime has to add it";
            Error::new(Code::Configuration, why)
        })?;
        let plain = |Valid { container, ifname: device }| ContainerDevice { container, device };
        Ok(valid.into_iter().map(plain).collect())
    }
}

/// What people say of the network, and of the names in it.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) network: NetworkSpec,
    pub(super) dns: Dns,
}

/// How names are resolved (section 1, well-known keys).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dns {
    pub(super) nameservers: Vec<IpAddr>,
    domain: Option<SearchDomain>,
    search: Vec<SearchDomain>,
    pub(super) options: Vec<ResolverOption>,
}

impl Dns {
    pub(super) fn search(&self) -> Vec<SearchDomain> {
        let domain = self.domain.iter().filter(|_| self.search.is_empty());
        self.search.iter().chain(domain).cloned().collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WishWire {
    #[serde(default)]
    network: Option<Name>,
    #[serde(default)]
    driver: Option<DriverName>,
    #[serde(default)]
    subnet: Listed<IpNet>,
    #[serde(default)]
    ipv6: bool,
    #[serde(default)]
    ip_range: Listed<RangeSpec>,
    #[serde(default)]
    gateway: Listed<IpAddr>,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    ipam: Option<Value>,
}

impl Wish {
    pub(super) fn read(configuration: &Value, head: &Head) -> Result<Self> {
        let wire: WishWire = part(configuration)?;
        if let Some(ipam) = wire.ipam.filter(|ipam| ipam.as_object().is_none_or(|o| !o.is_empty()))
        {
            let why = format!("field ipam is {ipam}: netctl gives the addresses, leave it out");
            return Err(Error::new(Code::UnsupportedField, why));
        }
        let name = match wire.network {
            Some(name) => name,
            None => head.name.as_str().parse().map_err(|error| {
                let why = format!(
                    "the network configuration's name is none of a network: {error}; give the network's as `network`"
                );
                Error::new(Code::Configuration, why)
            })?,
        };
        let network = NetworkSpec {
            driver: wire.driver,
            subnets: wire.subnet.0,
            ipv6: wire.ipv6,
            ip_ranges: wire.ip_range.0,
            gateways: wire.gateway.0,
            internal: wire.internal,
            options: wire.options,
            ..NetworkSpec::of(name)
        };
        Ok(Self { network, dns: wire.dns })
    }
}

/// The part of the configuration that `T` knows; unknown fields are other plugins' or the runtime's.
pub(super) fn part<T: DeserializeOwned>(configuration: &Value) -> Result<T> {
    serde_path_to_error::deserialize(configuration).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        let sentence = match path.as_str() {
            "." => format!("the network configuration: {why}"),
            _ => format!("field {path} of the network configuration: {why}"),
        };
        Error::new(Code::Configuration, sentence)
    })
}

/// Several of a kind, or one of them.
#[derive(Debug)]
struct Listed<T>(Vec<T>);

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Vec<T>, E> {
                T::deserialize(text.into_deserializer()).map(|one| vec![one])
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                list: A,
            ) -> std::result::Result<Vec<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list))
            }
        }
        deserializer.deserialize_any(OneOrMany(PhantomData)).map(Self)
    }
}
