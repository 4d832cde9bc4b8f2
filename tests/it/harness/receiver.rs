//! Somebody who is told of events over HTTP, and answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use lab::wait::until;
use poem::{Endpoint, Request, Response, endpoint::make, http::StatusCode, listener::TcpAcceptor};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// What it got.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub body: String,
    pub event_id: String,
    pub timestamp: String,
    pub signature: String,
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    Never,
}

#[derive(Default)]
struct Book {
    got: Vec<Got>,
    answers: VecDeque<Answer>,
    otherwise: Option<Answer>,
}

/// A receiver on a port of its own.
pub struct Receiver {
    pub port: u16,
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Whether it is signed with `secret`, as somebody else computes it.
    pub async fn is_signed_with(&self, secret: &str) -> bool {
        let program = "import hmac, sys; secret, text = sys.argv[1:]; \
                       print('v1=' + hmac.new(secret.encode(), text.encode(), 'sha256').hexdigest())";
        let text = format!("{}.{}", self.timestamp, self.body);
        let computed = tokio::process::Command::new("python3").args(["-c", program, secret, &text]).output();
        let computed = computed.await.expect("python3");
        assert!(computed.status.success(), "{}", String::from_utf8_lossy(&computed.stderr));
        String::from_utf8_lossy(&computed.stdout).trim() == self.signature
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that says 200 to everything, until it is told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let book = Arc::new(Mutex::new(Book::default()));
        let acceptor = TcpAcceptor::from_tokio(listener).expect("a listener");
        let server = poem::Server::new_with_acceptor(acceptor).run(endpoint(Arc::clone(&book)));
        let task = tokio::spawn(async move { drop(server.await) });
        Self { port, book, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next answers.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.lock().answers.extend(answers);
    }

    /// All answers but those that were said to be the next ones.
    pub fn always(&self, answer: Answer) {
        self.lock().otherwise = Some(answer);
    }

    /// Everything it got so far.
    pub fn got(&self) -> Vec<Got> {
        self.lock().got.clone()
    }

    /// Waits until it got so much.
    pub async fn gets(&self, count: usize) -> Result<Vec<Got>> {
        until(format!("{count} deliveries"), Duration::from_secs(60), async || {
            let got = self.got();
            Ok((got.len() >= count).then_some(got))
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn endpoint(book: Arc<Mutex<Book>>) -> impl Endpoint {
    make(move |mut request: Request| {
        let book = Arc::clone(&book);
        async move {
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            let (event_id, timestamp) = (header("x-ringdown-event-id"), header("x-ringdown-timestamp"));
            let (signature, path) = (header("x-ringdown-signature"), request.uri().path().to_owned());
            let body = request.take_body().into_string().await.unwrap_or_default();
            let answer = {
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                book.got.push(Got { path, body, event_id, timestamp, signature });
                book.answers.pop_front().or_else(|| book.otherwise.clone()).unwrap_or(Answer::Status(200))
            };
            let status = |status| StatusCode::from_u16(status).expect("a status");
            Ok::<Response, poem::Error>(match answer {
                Answer::Status(code) => Response::builder().status(status(code)).body("whatever"),
                Answer::Redirect(to) => Response::builder().status(status(302)).header("location", to).finish(),
                Answer::Never => std::future::pending().await,
            })
        }
    })
}
