//! The kernel's overlay on hosts with the packet filter of a Docker host: what an engine of version
//! 20.10 puts there with its default bridge and the bridge of a swarm. Its NAT chains have each
//! packet of the underlay tracked as a connection's.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use testbed::Netns;

use super::{Ends, Parts, kernel};

/// In the words of `nft(8)`; the engine says the same by iptables.
const RULES: &str = r#"
table ip nat {
    chain DOCKER {
        iifname "docker0" return
        iifname "docker_gwbridge" return
    }
    chain PREROUTING {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump DOCKER
    }
    chain INPUT {
        type nat hook input priority 100; policy accept;
    }
    chain OUTPUT {
        type nat hook output priority -100; policy accept;
        ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER
    }
    chain POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
        ip saddr 172.18.0.0/16 oifname != "docker_gwbridge" masquerade
    }
}
table ip filter {
    chain DOCKER {
    }
    chain DOCKER-ISOLATION-STAGE-1 {
        iifname "docker0" oifname != "docker0" jump DOCKER-ISOLATION-STAGE-2
        iifname "docker_gwbridge" oifname != "docker_gwbridge" jump DOCKER-ISOLATION-STAGE-2
        return
    }
    chain DOCKER-ISOLATION-STAGE-2 {
        oifname "docker0" drop
        oifname "docker_gwbridge" drop
        return
    }
    chain DOCKER-USER {
        return
    }
    chain INPUT {
        type filter hook input priority filter; policy accept;
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
        jump DOCKER-ISOLATION-STAGE-1
        oifname "docker0" ct state related,established accept
        oifname "docker0" jump DOCKER
        iifname "docker0" oifname != "docker0" accept
        iifname "docker0" oifname "docker0" accept
        oifname "docker_gwbridge" ct state related,established accept
        oifname "docker_gwbridge" jump DOCKER
        iifname "docker_gwbridge" oifname != "docker_gwbridge" accept
        iifname "docker_gwbridge" oifname "docker_gwbridge" drop
    }
    chain OUTPUT {
        type filter hook output priority filter; policy accept;
    }
}
"#;

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    let ends = kernel::laid_out(dir, "docker")?;
    let rules = dir.join("docker-host.nft");
    fs::write(&rules, RULES).with_context(|| format!("cannot write {}", rules.display()))?;
    if let Parts::Pair(pair) = &ends.parts {
        pair.hosts.iter().try_for_each(|host| filtered(host, &rules))?;
    }
    Ok(ends)
}

fn filtered(host: &Netns, rules: &Path) -> Result<()> {
    host.run(["nft".as_ref(), "-f".as_ref(), rules.as_os_str()])?.ok()?;
    Ok(())
}
