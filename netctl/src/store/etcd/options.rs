//! How to connect to etcd.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

/// How to connect to etcd, beside the URLs.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// The path below which all keys are.
    pub prefix: String,
    /// The PEM file with the certificates of the authorities that sign etcd's; needed for https.
    pub ca: Option<PathBuf>,
    /// The PEM file with this client's certificate chain, where etcd asks for one.
    pub cert: Option<PathBuf>,
    /// The PEM file with the key for `cert`.
    pub key: Option<PathBuf>,
    /// The user, where etcd has authentication on.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            prefix: "/netctl/v1".to_owned(),
            ca: None,
            cert: None,
            key: None,
            user: None,
            password: None,
        }
    }
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, ca, cert, key, user, password } = self;
        f.debug_struct("EtcdOptions")
            .field("prefix", prefix)
            .field("ca", ca)
            .field("cert", cert)
            .field("key", key)
            .field("user", user)
            .field("password", &password.as_ref().map(|_| "…"))
            .finish()
    }
}

/// How often a connection with a stream is probed (HTTP/2 PING). etcd closes those that are probed more often than every
/// 5 s, by default (`--grpc-keepalive-min-time`); the watches find a dead one sooner, by asking for progress.
const KEEP_ALIVE: Duration = Duration::from_secs(6);
/// How long the answer may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for a connection to one member.
const CONNECT: Duration = Duration::from_secs(1);

impl EtcdOptions {
    /// The client's form of it, or one sentence on why that cannot be.
    pub(super) async fn connect_options(
        &self,
        endpoints: &[String],
    ) -> Result<ConnectOptions, String> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_TIMEOUT)
            // etcd also closes those that are probed while no call is on (grpc-go, `PermitWithoutStream`).
            .with_keep_alive_while_idle(false)
            .with_require_leader(true);
        options = match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                options.with_user(user, password).with_auto_token_refresh(true)
            }
            (None, None) => options,
            (Some(user), None) => return Err(format!("user {user} needs a password")),
            (None, Some(_)) => return Err("a password needs a user".to_owned()),
        };
        let secure = endpoints.iter().all(|url| url.starts_with("https:"));
        match (secure, &self.ca) {
            (true, Some(ca)) => Ok(options.with_tls(self.tls(ca).await?)),
            (true, None) => {
                Err("https needs the file of the authority's certificate (ca)".to_owned())
            }
            (false, _) if [&self.ca, &self.cert, &self.key].into_iter().any(Option::is_some) => {
                Err("certificates need URLs that begin with https".to_owned())
            }
            (false, _) => Ok(options),
        }
    }

    async fn tls(&self, ca: &Path) -> Result<TlsOptions, String> {
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca).await?));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Ok(tls.identity(Identity::from_pem(read(cert).await?, read(key).await?)))
            }
            (None, None) => Ok(tls),
            (Some(_), None) | (None, Some(_)) => {
                Err("a certificate and its key go together: give both, or none".to_owned())
            }
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path)
        .await
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
