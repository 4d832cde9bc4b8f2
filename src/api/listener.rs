//! Connections: how many there may be, how long they may say nothing, and TLS.
//!
//! A server that pages people is not to be silenced by somebody who opens connections and says nothing
//! on them, or says it slowly. So a connection must say something soon, and when there are too many the
//! one that was answered nothing for longest makes room for the new one.

use std::{
    fs,
    io::{self, IoSlice},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{Stream, stream};
use poem::{
    http::uri::Scheme,
    listener::{Acceptor, AcceptorExt, BoxAcceptor, RustlsCertificate, RustlsConfig},
    web::{LocalAddr, RemoteAddr},
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

/// A connection must have said something after so long.
const SILENT: Duration = Duration::from_secs(10);
/// After an error of the system (no file descriptor is free) nothing is accepted for so long.
const PAUSE: Duration = Duration::from_millis(50);
/// Certificates are looked at so often.
const LOOK: Duration = Duration::from_secs(5);

/// Certificate chain and key, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The chain.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Takes connections from a socket that is bound already: `most` at once, over TLS if there is a certificate.
///
/// # Errors
/// If the certificate cannot be read now. Later on, the one before it stays.
pub fn acceptor(listener: TcpListener, most: usize, tls: Option<&Certificate>) -> io::Result<BoxAcceptor> {
    let plain = Limited { listener, most, open: Vec::new(), began: Instant::now() };
    let Some(certificate) = tls else { return Ok(plain.boxed()) };
    let first = read(certificate)?;
    Ok(plain.rustls(Box::pin(certificates(certificate.clone(), first))).boxed())
}

struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
    changed: Changed,
}

type Changed = (Option<SystemTime>, Option<SystemTime>);

fn read(files: &Certificate) -> io::Result<Pem> {
    let bytes = |path: &Path| {
        fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let changed = changed(files);
    let pem = Pem { chain: bytes(&files.chain)?, key: bytes(&files.key)?, changed };
    usable(&pem)?;
    Ok(pem)
}

/// Whether a server could be run with it: the chain can be read, and the key is its own.
fn usable(pem: &Pem) -> io::Result<()> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.chain).collect();
    let chain = chain.map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(io::Error::other)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(drop).map_err(io::Error::other)
}

fn config(pem: &Pem) -> RustlsConfig {
    RustlsConfig::new().fallback(RustlsCertificate::new().cert(pem.chain.clone()).key(pem.key.clone()))
}

fn changed(files: &Certificate) -> Changed {
    let at = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    (at(&files.chain), at(&files.key))
}

/// The configuration of TLS, anew whenever the files have changed to something that can be used.
fn certificates(files: Certificate, first: Pem) -> impl Stream<Item = RustlsConfig> + Send {
    let now = config(&first);
    let later = stream::unfold((files, first.changed), |(files, mut seen)| async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if changed(&files) == seen {
                continue;
            }
            match read(&files) {
                Ok(pem) => {
                    tracing::info!("the certificate was read anew");
                    return Some((config(&pem), (files, pem.changed)));
                }
                Err(error) => {
                    // Once for each change: half of it may be written yet.
                    tracing::error!(%error, "the new certificate cannot be used; the one before it stays");
                    seen = changed(&files);
                }
            }
        }
    });
    stream::StreamExt::chain(stream::once(std::future::ready(now)), later)
}

/// Accepts, within limits.
struct Limited {
    listener: TcpListener,
    most: usize,
    open: Vec<Arc<Open>>,
    began: Instant,
}

/// A connection, as the acceptor sees it.
struct Open {
    /// When it was last answered something, or began, in milliseconds since the server did.
    answered: AtomicU64,
    close: CancellationToken,
}

impl Acceptor for Limited {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.listener.local_addr().map(|address| vec![LocalAddr(address.into())]).unwrap_or_default()
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, peer) = self.next().await;
        if self.open.len() >= self.most {
            self.open.retain(|open| !open.close.is_cancelled());
        }
        if self.open.len() >= self.most {
            self.make_room();
        }
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr()?;
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let open = Arc::new(Open { answered: AtomicU64::new(now), close: CancellationToken::new() });
        self.open.push(Arc::clone(&open));
        metrics::gauge!("ringdown_http_connections").increment(1.0);
        let connection = Connection {
            stream,
            closed: Box::pin(open.close.clone().cancelled_owned()),
            open,
            began: self.began,
            deadline: Some(Box::pin(tokio::time::sleep(SILENT))),
        };
        Ok((connection, LocalAddr(local.into()), RemoteAddr(peer.into()), Scheme::HTTP))
    }
}

impl Limited {
    async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Closes the one that was answered nothing for longest.
    fn make_room(&mut self) {
        let idlest = (0..self.open.len()).min_by_key(|&nth| self.open[nth].answered.load(Ordering::Relaxed));
        if let Some(nth) = idlest {
            metrics::counter!("ringdown_http_connections_closed_total").increment(1);
            self.open.swap_remove(nth).close.cancel();
        }
    }
}

/// A connection that must say something soon.
struct Connection {
    stream: TcpStream,
    open: Arc<Open>,
    began: Instant,
    closed: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
    /// Until it has said something.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn answered(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.open.answered.store(now, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.close.cancel();
        metrics::gauge!("ringdown_http_connections").decrement(1.0);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.deadline = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let late = self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready());
                if late || self.closed.as_mut().poll(context).is_ready() {
                    // An end of what is read: nothing was asked whole, so nothing is owed.
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answered();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answered();
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}
