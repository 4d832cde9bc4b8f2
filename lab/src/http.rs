//! A small HTTP server that can also fail as servers do in the midst of an answer.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::wait::until;

/// The longest request, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// What is done about a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An answer.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// The connection is cut without a word.
    Cut,
    /// The connection is cut in the middle of this body.
    Half { status: u16, body: Vec<u8> },
    /// Nothing, for ever.
    Hang,
}

impl Reply {
    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Answer { status, headers, body: body.to_string().into_bytes() }
    }
}

/// A server on a port of its own. Gone when it is dropped.
pub struct Server {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// One that answers as `handler` says, each request on a connection of its own.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start<F>(handler: impl Fn(Request) -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            // With it all connections end.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Arc::clone(&handler);
                connections.spawn(async move {
                    // Whoever goes away in the middle of a request is its own business.
                    let _ = serve(stream, &*handler).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, task })
    }

    /// Its address, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn serve<F>(mut stream: TcpStream, handler: &(impl Fn(Request) -> F + Sync)) -> Result<()>
where
    F: Future<Output = Reply> + Send,
{
    let request = read(&mut stream).await?;
    let (status, headers, body, sent) = match handler(request).await {
        Reply::Answer { status, headers, body } => (status, headers, body.clone(), body.len()),
        Reply::Half { status, body } => (status, Vec::new(), body.clone(), body.len() / 2),
        Reply::Cut => return Ok(()),
        Reply::Hang => std::future::pending().await,
    };
    let mut head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body[..sent]).await?;
    stream.shutdown().await?;
    Ok(())
}

async fn read(stream: &mut TcpStream) -> Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        ensure!(bytes.len() < LONGEST && stream.read_buf(&mut bytes).await? > 0, "no whole head");
    };
    let head = std::str::from_utf8(&bytes[..end])?.to_owned();
    let mut body = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().context("a method")?.to_owned(), first.next().context("a target")?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, target, headers, body: Vec::new() };
    let length: usize = request.header("content-length").unwrap_or("0").parse()?;
    ensure!(length < LONGEST, "too long");
    while body.len() < length {
        ensure!(stream.read_buf(&mut body).await? > 0, "no whole body");
    }
    body.truncate(length);
    request.body = body;
    Ok(request)
}

/// Somebody who is told things over HTTP, and keeps them.
pub struct Listener {
    server: Server,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Listener {
    /// One that says 204 to everything.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start() -> Result<Self> {
        let got = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&got);
        let server = Server::start(move |request| {
            book.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            std::future::ready(Reply::Answer { status: 204, headers: Vec::new(), body: Vec::new() })
        });
        Ok(Self { server: server.await?, got })
    }

    /// Its address, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Waits until it was told so much.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn gets(&self, count: usize) -> Result<Vec<Request>> {
        until(format!("{count} requests"), Duration::from_secs(20), async || {
            let got = self.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok((got.len() >= count).then_some(got))
        })
        .await
    }
}
