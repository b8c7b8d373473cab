//! The daemon itself.

use std::path::Path;

use super::{Finding, RESTART};
use crate::{
    api::{Version, client},
    model::HostName,
};

/// What is wrong, by what it answers.
pub(super) fn judge(
    host: &HostName,
    answer: Result<Version, client::Error>,
    socket: &Path,
) -> Vec<Finding> {
    let own = Version::of_this_build();
    let object = socket.display().to_string();
    let finding =
        |id, what: String, why, mend| vec![Finding::new(id, object.clone(), what, why, host, mend)];
    match answer {
        Ok(version) if version == own => Vec::new(),
        Ok(version) => finding(
            "daemon-other-version",
            format!(
                "the daemon is netctl {} with map layout {}, and this command is {} with {}",
                version.version, version.abi, own.version, own.abi
            ),
            "an upgrade is not complete, and this command may misread what it is told",
            RESTART,
        ),
        Err(client::Error::Garbled { reason, .. }) => finding(
            "daemon-other-version",
            format!("what answers at {object} is no daemon that this netctl knows: {reason}"),
            "an upgrade is not complete, or something else listens there",
            RESTART,
        ),
        Err(error) => finding(
            "daemon-down",
            format!("the daemon does not answer at {object} ({})", reason(&error)),
            "packets flow as they did, but nothing follows changes and no name is answered",
            "systemctl start netctl",
        ),
    }
}

fn reason(error: &client::Error) -> String {
    match error {
        client::Error::Unreachable { reason, .. } => reason.clone(),
        client::Error::Denied { .. } | client::Error::Failed(_) | client::Error::Garbled { .. } => {
            error.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: Result<Version, client::Error>) -> Vec<(&'static str, String)> {
        let host = "h1".parse().expect("a name");
        let found = judge(&host, answer, Path::new("/run/n.sock"));
        found.into_iter().map(|finding| (finding.id, finding.what)).collect()
    }

    #[test]
    fn a_daemon_is_of_this_version_or_another_or_away() {
        let own = Version::of_this_build();
        assert_eq!(judged(Ok(own.clone())), []);
        let other = Version { version: "0.0.1".to_owned(), abi: own.abi };
        let expected = format!(
            "the daemon is netctl 0.0.1 with map layout {0}, and this command is {1} with {0}",
            own.abi, own.version
        );
        assert_eq!(judged(Ok(other)), [("daemon-other-version", expected)]);
        let socket = Path::new("/run/n.sock").to_path_buf();
        let away = client::Error::Unreachable { socket: socket.clone(), reason: "gone".to_owned() };
        let expected = "the daemon does not answer at /run/n.sock (gone)".to_owned();
        assert_eq!(judged(Err(away)), [("daemon-down", expected)]);
        let garbled = client::Error::Garbled { socket, reason: "no JSON".to_owned() };
        assert_eq!(judged(Err(garbled))[0].0, "daemon-other-version");
    }
}
