//! `netctl neigh`: the neighbours, in the words of `ip neigh`.

use super::{Context, Result};
use crate::model::NeighView;

pub(super) async fn run(Context { client, output }: &Context) -> Result {
    output.show(&*client.neigh().await?, |entries| entries.iter().map(line).collect())
}

fn line(NeighView { vni, network, address, mac }: &NeighView) -> String {
    let network = network.as_ref().map(|network| format!(" network {network}"));
    format!("{address} lladdr {mac} vni {vni}{}\n", network.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_read_as_those_of_ip() {
        let entry: NeighView = serde_json::from_value(serde_json::json!({
            "vni": 4097, "network": "dev", "address": "10.1.0.2", "mac": "02:00:00:00:00:01",
        }))
        .expect("an entry");
        assert_eq!(line(&entry), "10.1.0.2 lladdr 02:00:00:00:00:01 vni 4097 network dev\n");
        let unknown = NeighView { network: None, ..entry };
        assert_eq!(line(&unknown), "10.1.0.2 lladdr 02:00:00:00:00:01 vni 4097\n");
    }
}
