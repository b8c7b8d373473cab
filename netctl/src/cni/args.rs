//! `CNI_ARGS`: what runtimes say of one container, as `KEY=VALUE;KEY=VALUE`.

use super::error::{Code, Error, Result};

/// What is taken from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Addresses that the container is to have.
    pub(super) ips: Vec<String>,
    /// The link-layer address that it is to have.
    pub(super) mac: Option<String>,
    /// What people call it.
    pub(super) name: Option<String>,
}

/// What kubelet and containerd add, of which nothing is needed.
const PASSED_OVER: [&str; 3] = ["K8S_POD_NAMESPACE", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID"];

impl Arguments {
    pub(super) fn read(text: &str) -> Result<Self> {
        let unusable = |why| Err(Error::new(Code::Environment, format!("CNI_ARGS: {why}")));
        let mut arguments = Self::default();
        let (mut unknown, mut ignore) = (None, false);
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return unusable(format!("{pair:?} is not KEY=VALUE"));
            };
            match key.trim() {
                "IP" => arguments.ips.extend(value.split(',').map(str::to_owned)),
                "MAC" => arguments.mac = Some(value.to_owned()),
                "K8S_POD_NAME" => arguments.name = Some(value.to_owned()),
                "IgnoreUnknown" => {
                    ignore = match &*value.to_ascii_lowercase() {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return unusable(format!("IgnoreUnknown is {value:?}, not 1 or 0")),
                    };
                }
                key if PASSED_OVER.contains(&key) => {}
                key => unknown = unknown.or_else(|| Some(key.to_owned())),
            }
        }
        match unknown {
            Some(key) if !ignore => {
                unusable(format!("{key} is not known: leave it out, or add IgnoreUnknown=1"))
            }
            _ => Ok(arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say_is_read() {
        let read = |text| Arguments::read(text).expect(text);
        assert_eq!(read(""), Arguments::default());
        let podman = read("IgnoreUnknown=1;K8S_POD_NAME=x2;MAC=02:aa:bb:cc:dd:ee;IP=10.70.0.77");
        assert_eq!(podman.ips, ["10.70.0.77"]);
        assert_eq!(podman.mac.as_deref(), Some("02:aa:bb:cc:dd:ee"));
        assert_eq!(podman.name.as_deref(), Some("x2"));
        assert_eq!(read("IP=10.0.0.5/24,fd00::5").ips, ["10.0.0.5/24", "fd00::5"]);
        assert_eq!(read("FOO=bar;IgnoreUnknown=true"), Arguments::default());
        assert_eq!(read("K8S_POD_UID=uid-1;K8S_POD_NAMESPACE=default"), Arguments::default());
    }
}
