//! Addresses and ports at which something is served by TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Error, unusable};

/// The port of the page where none is given.
const WEB_PORT: u16 = 9470;

/// Where metrics are served: both are given, for who asks has to be able to get there.
pub(super) fn metrics(text: &str) -> Result<SocketAddr, Error> {
    let address = text.parse().map_err(|_error| {
        let how = "write an IP address and a port, as in 127.0.0.1:9469 or [::1]:9469";
        unusable("metrics-listen", text, &how)
    })?;
    with_port("metrics-listen", text, address)
}

/// Where the page is served: on this host alone, unless an address says otherwise.
pub(super) fn web(text: &str) -> Result<SocketAddr, Error> {
    let by_port = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let by_address = |address| SocketAddr::new(address, WEB_PORT);
    let address = (text.parse().ok())
        .or_else(|| text.parse().ok().map(by_port))
        .or_else(|| text.parse().ok().map(by_address))
        .ok_or_else(|| {
            let how = "write a port, an IP address, or both, as in 127.0.0.1:9470 or [::1]:9470";
            unusable("web-listen", text, &how)
        })?;
    with_port("web-listen", text, address)
}

fn with_port(option: &'static str, text: &str, address: SocketAddr) -> Result<SocketAddr, Error> {
    if address.port() == 0 {
        return Err(unusable(option, text, &"a port is from 1 to 65535"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_this_host_alone_unless_an_address_is_given() {
        for (text, address) in [
            ("9470", "127.0.0.1:9470"),
            ("80", "127.0.0.1:80"),
            ("127.0.0.1", "127.0.0.1:9470"),
            ("::1", "[::1]:9470"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:9470", "0.0.0.0:9470"),
            ("192.0.2.1", "192.0.2.1:9470"),
        ] {
            assert_eq!(web(text).expect(text).to_string(), address);
        }
    }
}
