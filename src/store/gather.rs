//! What many ask for at the same moment is done together: one statement instead of one each.
//!
//! Whoever asks waits for nobody: what comes while a batch is at work is the next one. So one alone is done at
//! once, and under load, where each statement hands work to another thread and back, batches grow by themselves.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::Error;

/// What may wait at once; one more waits for room outside.
const QUEUE: usize = 1024;
/// What is done together, at most.
const BATCH: usize = 256;

/// The handle; its task ends with the last one.
pub(super) struct Gather<T, R>(mpsc::Sender<Asked<T, R>>);

struct Asked<T, R> {
    what: T,
    done: oneshot::Sender<Result<R, Error>>,
}

impl<T, R> Clone for Gather<T, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, R> Gather<T, R>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
{
    /// `work` does many at once, or none of them, and answers in their order.
    pub(super) fn start<W>(work: W) -> Self
    where
        W: Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, Error>> + Send + Sync + 'static,
    {
        let (asked, queue) = mpsc::channel(QUEUE);
        tokio::spawn(run(Arc::new(work), queue));
        Self(asked)
    }

    /// Does it, together with whatever else is asked for now.
    pub(super) async fn ask(&self, what: T) -> Result<R, Error> {
        let (done, answer) = oneshot::channel();
        self.0.send(Asked { what, done }).await.map_err(|_| Error::stopped())?;
        answer.await.map_err(|_| Error::stopped())?
    }
}

async fn run<T, R, W>(work: Arc<W>, mut queue: mpsc::Receiver<Asked<T, R>>)
where
    T: Clone + Send + 'static,
    R: Send + 'static,
    W: Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, Error>> + Send + Sync + 'static,
{
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let many: Vec<T> = batch.iter().map(|asked| asked.what.clone()).collect();
        match work(many).await {
            Ok(answers) => {
                // Whoever asked may be gone; nobody else needs to know.
                batch.drain(..).zip(answers).for_each(|(asked, answer)| drop(asked.done.send(Ok(answer))));
            }
            Err(error) if batch.len() == 1 => {
                batch.drain(..).for_each(|asked| drop(asked.done.send(Err(error.clone()))));
            }
            // Something is the matter with one of them, or with the database: each by itself, and in order.
            Err(_) => {
                for Asked { what, done } in batch.drain(..) {
                    let alone = work(vec![what]).await.and_then(|mut one| one.pop().ok_or_else(Error::stopped));
                    let _ = done.send(alone);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn what_comes_meanwhile_is_done_together_and_one_bad_one_spoils_no_other() {
        let seen: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
        let log = Arc::clone(&seen);
        let halves = Gather::start(move |many: Vec<u32>| {
            log.lock().unwrap().push(many.clone());
            async move {
                tokio::task::yield_now().await;
                if many.contains(&13) { Err(Error::Conflict) } else { Ok(many.iter().map(|n| n / 2).collect()) }
            }
            .boxed()
        });
        let asked = [10, 20, 13, 30].map(|n| halves.ask(n));
        assert_eq!(join_all(asked).await, [Ok(5), Ok(10), Err(Error::Conflict), Ok(15)]);
        let seen = seen.lock().unwrap().clone();
        assert!(seen.iter().any(|batch| batch.len() > 1), "{seen:?}");
        assert_eq!(halves.ask(8).await, Ok(4), "it goes on");
    }
}
