//! The limit of Asterisk on this machine: Originate, an answer to AGI, and nothing kept.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lab::asterisk::Asterisk;
use ringdown::ami::{self, Action, Notice};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;

/// How long nothing happens before what is missing is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is answered to AGI.
#[derive(Clone, Copy)]
pub enum Answers {
    /// `HANGUP` at once.
    HangUp,
    /// A prompt of Asterisk's own, for as long as the far end stays.
    Speech,
}

/// How many calls a second come about and end, at most `window` at once.
pub async fn rate(pbx: &Asterisk, dial: &str, answers: Answers, calls: usize, window: usize) -> Result<f64> {
    let agi = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("agi://{}", agi.local_addr()?);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(async move {
        while let Ok((stream, _)) = agi.accept().await {
            tokio::spawn(talk(stream, answers));
        }
    });
    let mut settings = ami::Settings::new(&pbx.ami, "lab", pbx.secret.clone().into());
    settings.events = &["Hangup", "OriginateResponse"];
    settings.queue = 100_000;
    let (client, mut notices, _link) = ami::start(settings, rand::random, stop.clone());
    let mut connected = client.watch();
    connected.wait_for(|connected| *connected).await.context("the manager")?;
    let places = Arc::new(Semaphore::new(window));
    let mut live: HashMap<String, OwnedSemaphorePermit> = HashMap::new();
    let (begin, mut placed, mut ended) = (Instant::now(), 0, 0);
    let (mut counted, mut last) = (0, Duration::ZERO);
    let (refused, mut refusals) = mpsc::unbounded_channel();
    let run: u32 = rand::random();
    while ended < calls {
        tokio::select! {
            place = Arc::clone(&places).acquire_owned(), if placed < calls => {
                let id = format!("raw-{run}-{placed}");
                let number = format!("+3933390{placed:05}");
                let action = Action::new("Originate")
                    .header("Channel", &dial.replace("{number}", &number))?
                    .header("Application", "AGI")?
                    .header("Data", &url)?
                    .header("Timeout", "30000")?
                    .header("Async", "true")?
                    .header("ChannelId", &id)?;
                live.insert(id, place?);
                placed += 1;
                let (client, refused, id) = (client.clone(), refused.clone(), format!("raw-{run}-{}", placed - 1));
                tokio::spawn(async move {
                    if client.act(action).await.is_err() {
                        let _ = refused.send(id);
                    }
                });
            }
            // What Asterisk did not even take has no end.
            Some(id) = refusals.recv() => {
                live.remove(&id);
                ended += 1;
            }
            notice = notices.next() => {
                let Notice::Event(event) = notice.context("the manager has gone")? else { continue };
                let id = event.get("Uniqueid");
                if event.event() == Some("Hangup") {
                    ended += usize::from(id.is_some_and(|id| live.remove(id).is_some()));
                } else if event.get("Response") == Some("Failure") && id.is_none_or(|id| !live.contains_key(id)) {
                    // Asterisk made no channel for it, so none hangs up.
                    places.add_permits(1);
                    ended += 1;
                }
            }
            () = tokio::time::sleep(PATIENCE) => {
                // The server asks which channels there are when it hears nothing; nobody does here.
                anyhow::ensure!(ended * 100 >= calls * 98, "{ended} of {placed} calls have ended");
                println!("bare Asterisk: the end of {} of {calls} calls was not told", calls - ended);
                break;
            }
        }
        if ended > counted {
            (counted, last) = (ended, begin.elapsed());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(ended as f64 / last.as_secs_f64())
}

async fn talk(stream: TcpStream, answers: Answers) -> Result<()> {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    if matches!(answers, Answers::Speech) {
        write.write_all(b"STREAM FILE vm-intro \"\"\n").await?;
        lines.next_line().await?;
    }
    write.write_all(b"HANGUP\n").await?;
    // Asterisk goes on asking until the connection ends, whatever became of the channel.
    lines.next_line().await?;
    Ok(())
}
