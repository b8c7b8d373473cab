//! The eBPF programs: that each device runs ours, and runs it first.

use super::{Finding, Patient, RESTART, unseen};
use crate::{
    controller::{VXLAN_DEVICE, kept},
    dataplane::{PROGRAMS, is_pinned, programs_on},
    drivers::{is_gateway_port, port},
    model::HostName,
};

struct Facts {
    bpf_dir: String,
    pinned: bool,
    /// Each device, the program that it is to run, and those that it runs, the first first.
    devices: Vec<(String, &'static str, Vec<String>)>,
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let Patient { netlink, note, .. } = patient;
    let [from_container, from_underlay, from_tunnel] = PROGRAMS;
    let sandboxes = kept(&note.state_dir).map_err(unseen)?;
    let attached: Vec<String> = sandboxes
        .iter()
        .filter(|kept| !kept.unfinished)
        .flat_map(|kept| &kept.interfaces)
        .map(|interface| port(&interface.endpoint))
        .collect();
    let mut devices = Vec::new();
    for link in netlink.links().await.map_err(unseen)? {
        let program = if Some(&link.name) == note.underlay.as_ref() {
            from_underlay
        } else if link.name == VXLAN_DEVICE {
            from_tunnel
        } else if attached.contains(&link.name) || is_gateway_port(&link.name) {
            from_container
        } else {
            continue;
        };
        match programs_on(&link.name).await {
            Ok(running) => devices.push((link.name, program, running)),
            // It went meanwhile, or the kernel has no TCX: others say so.
            Err(error) => tracing::debug!(%error, "a device is not looked at"),
        }
    }
    let bpf_dir = note.bpf_dir.display().to_string();
    let facts = Facts { pinned: is_pinned(&note.bpf_dir), bpf_dir, devices };
    Ok(judge(patient.host(), &facts))
}

fn judge(host: &HostName, facts: &Facts) -> Vec<Finding> {
    let Facts { bpf_dir, pinned, devices } = facts;
    let mut found = Vec::new();
    if !pinned {
        found.push(Finding::new(
            "pins-missing",
            bpf_dir,
            format!("nothing of netctl is pinned in {bpf_dir}"),
            "the programs end with the daemon, or are gone already",
            host,
            RESTART,
        ));
    }
    for (device, program, running) in devices {
        let place = running.iter().position(|name| name == program);
        match place {
            Some(0) => {}
            Some(_) => found.push(Finding::new(
                "program-behind",
                device,
                format!("{device} runs {} before netctl's {program}", running[0]),
                "what that takes or changes, netctl does not see as it came",
                host,
                format!(
                    "bpftool net show dev {device}    # and detach {} if it is not wanted",
                    running[0]
                ),
            )),
            None => found.push(Finding::new(
                "program-missing",
                device,
                format!("{device} does not run netctl's program {program}"),
                "what it receives goes nowhere",
                host,
                RESTART,
            )),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_runs_our_program_and_runs_it_first() {
        let host = "h1".parse().expect("a name");
        let judged = |pinned, running: &[&str]| {
            let running = running.iter().map(|name| (*name).to_owned()).collect();
            let devices = vec![("eth0".to_owned(), "from_underlay", running)];
            let facts = Facts { bpf_dir: "/b".to_owned(), pinned, devices };
            judge(&host, &facts).into_iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(judged(true, &["from_underlay"]), [""; 0]);
        assert_eq!(judged(true, &["from_underlay", "other"]), [""; 0]);
        assert_eq!(judged(true, &["other", "from_underlay"]), ["program-behind"]);
        assert_eq!(judged(true, &["other"]), ["program-missing"]);
        assert_eq!(judged(false, &[]), ["pins-missing", "program-missing"]);
    }
}
