//! `[wire]` of node.toml.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use crate::fault::NodeError;
use crate::secret_file;

/// Where analysts' database programs reach the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens; 5432 is what programs expect.
    pub listen: SocketAddr,
    /// The node's certificates in PEM, its own first. Needed wherever others than this machine can connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM, readable by its owner only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Analysts' connections at a time.
    #[serde(default = "default_connections")]
    pub connections: u32,
    /// The verifiers of the accounts' passwords.
    #[serde(default = "default_accounts")]
    pub accounts: PathBuf,
}

fn default_connections() -> u32 {
    100
}

fn default_accounts() -> PathBuf {
    "accounts.toml".into()
}

impl Settings {
    /// With paths relative to a folder.
    pub fn beside(self, base: &Path) -> Self {
        let join = |path: PathBuf| base.join(path);
        let (certificate, key) = (self.certificate.map(join), self.key.map(join));
        Self { certificate, key, accounts: base.join(self.accounts), ..self }
    }

    /// # Errors
    /// `BAD_CONFIG` for one of certificate and key without the other, neither where others than this machine can connect, no connections.
    pub fn checked(&self) -> Result<(), NodeError> {
        let bad = |text: &str| Err(NodeError::new("BAD_CONFIG", format!("[wire]: {text}")));
        match (&self.certificate, &self.key) {
            (Some(_), None) | (None, Some(_)) => bad("'certificate' and 'key' stand together"),
            (None, None) if !self.listen.ip().is_loopback() => bad(
                "'certificate' and 'key' are missing: only over loopback may passwords and answers travel without TLS",
            ),
            _ if self.connections == 0 => bad("connections is 1 or more"),
            _ => Ok(()),
        }
    }

    /// Can a node serve with them?
    ///
    /// # Errors
    /// As [`Settings::tls`] and [`Logins::read`](super::accounts::Logins::read).
    pub fn usable(&self) -> Result<(), NodeError> {
        self.tls()?;
        super::accounts::Logins::read(&self.accounts)?;
        Ok(())
    }

    /// What speaks TLS 1.3 with the configured certificate, if there is one.
    ///
    /// # Errors
    /// `KEY_FILE_OPEN`, `NO_SUCH_FILE`, `BAD_CONFIG` for what is no certificate with its key.
    pub fn tls(&self) -> Result<Option<TlsAcceptor>, NodeError> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        let bad =
            |file: &Path, what: &str| NodeError::new("BAD_CONFIG", format!("{}: no {what} in PEM", file.display()));
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(crate::config::read(certificate)?.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| bad(certificate, "certificate"))?;
        let secret = PrivateKeyDer::from_pem_slice(&secret_file::read(key)?).map_err(|_| bad(key, "private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| NodeError::new("INTERNAL", e.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|e| NodeError::new("BAD_CONFIG", format!("{}: {e}", certificate.display())))?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<(), String> {
        let settings: Settings = toml::from_str(text).unwrap();
        settings.checked().map_err(|error| error.code.into_owned())
    }

    #[test]
    fn without_tls_only_this_machine_may_connect() {
        assert_eq!(settings("listen = '127.0.0.1:5432'"), Ok(()));
        assert_eq!(settings("listen = '[::1]:5432'"), Ok(()));
        assert_eq!(settings("listen = '0.0.0.0:5432'"), Err("BAD_CONFIG".into()));
        assert_eq!(settings("listen = '192.0.2.7:5432'\ncertificate = 'a'"), Err("BAD_CONFIG".into()));
        assert_eq!(settings("listen = '192.0.2.7:5432'\ncertificate = 'a'\nkey = 'b'"), Ok(()));
        assert_eq!(settings("listen = '127.0.0.1:5432'\nconnections = 0"), Err("BAD_CONFIG".into()));
    }
}
