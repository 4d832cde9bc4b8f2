//! TLS to the manager: who is trusted, and the handshake. Knows nothing of AMI.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// How a manager that listens with `tlsenable = yes` is trusted. Its certificate is always checked.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM file of the authorities to trust, and no others; `None`: those of the system.
    /// Read anew at each connect, so that it may be replaced while the server runs.
    pub ca_file: Option<PathBuf>,
    /// The name (or IP address) in the certificate; `None`: the host of [`super::Settings::address`].
    pub server_name: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("cannot read the authorities in {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the system has no certificate authorities to trust")]
    NoSystemRoots,
    #[error("{0:?} is no server name")]
    ServerName(String),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    Handshake(#[from] io::Error),
}

/// Shakes hands on a fresh connection. `host`: the host part of the address.
pub(super) async fn handshake(tcp: TcpStream, tls: &Tls, host: &str) -> Result<TlsStream<TcpStream>, TlsError> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))?;
    let ca_file = tls.ca_file.clone();
    // Both sources are files: not on a thread that has calls to place.
    let roots = tokio::task::spawn_blocking(move || match ca_file {
        Some(path) => roots_in(&path),
        None => system_roots(),
    })
    .await
    .map_err(io::Error::other)??;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?)
}

fn roots_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let bad = |reason: String| TlsError::CaFile { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system has certificates that rustls does not take, and files that cannot be read: the rest serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}
