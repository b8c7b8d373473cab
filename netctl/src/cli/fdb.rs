//! `netctl fdb`: the forwarding database, in the words of `bridge fdb`.

use super::{Context, Result};
use crate::model::FdbView;

pub(super) async fn run(Context { client, output }: &Context) -> Result {
    output.show(&*client.fdb().await?, |entries| entries.iter().map(line).collect())
}

fn line(entry: &FdbView) -> String {
    // What `bridge fdb` prints for where to send what has no entry of its own.
    let mac = entry.mac.map_or_else(|| "00:00:00:00:00:00".to_owned(), |mac| mac.to_string());
    let mut words = vec![mac];
    words.extend(entry.device.as_ref().map(|device| format!("dev {device}")));
    words.extend(entry.vtep.map(|vtep| format!("dst {vtep}")));
    words.push(format!("vni {}", entry.vni));
    words.extend(entry.network.as_ref().map(|network| format!("network {network}")));
    words.extend(entry.service.as_ref().map(|service| format!("service {service}")));
    words.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_are_behind_a_device_or_a_tunnel() {
        let entry: FdbView = serde_json::from_value(serde_json::json!({
            "vni": 4097, "network": "dev", "mac": "02:00:00:00:00:01", "device": "nc0123456789ab",
            "vtep": null, "service": "svc1",
        }))
        .expect("an entry");
        assert_eq!(
            line(&entry),
            "02:00:00:00:00:01 dev nc0123456789ab vni 4097 network dev service svc1\n"
        );
        let remote = FdbView {
            device: None,
            vtep: Some([192, 168, 0, 2].into()),
            network: None,
            service: None,
            ..entry
        };
        assert_eq!(line(&remote), "02:00:00:00:00:01 dst 192.168.0.2 vni 4097\n");
        let member = FdbView { mac: None, ..remote };
        assert_eq!(line(&member), "00:00:00:00:00:00 dst 192.168.0.2 vni 4097\n");
    }
}
