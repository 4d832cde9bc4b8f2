//! Keeps the modem open: opens it, sends and receives, waits, opens it again.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Health, Notice, Sending, Settings, Stored,
    at::{AtError, Submission, Unsolicited},
    device::{Device, DeviceError, Listing},
    inbox::{Inbox, Todo},
    pdu::{Incoming, Pdu},
};

/// Between two restarts of a mute modem: it takes half a minute to be there again.
const RESTART_EVERY: Duration = Duration::from_secs(120);
/// A modem that was up for so long was a good one; one that goes at once is opened ever more seldom.
const STEADY: Duration = Duration::from_secs(60);

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) pdu: Pdu,
    pub(super) to: oneshot::Sender<Sending>,
}

struct Worker {
    settings: Settings,
    requests: mpsc::Receiver<Request>,
    notices: mpsc::Sender<Notice>,
    health: watch::Sender<Health>,
    inbox: Inbox,
    restarted: Option<Instant>,
}

/// Until nobody is left who could ask.
pub(super) async fn keep_open(
    settings: Settings,
    requests: mpsc::Receiver<Request>,
    notices: mpsc::Sender<Notice>,
    health: watch::Sender<Health>,
) {
    let mut worker = Worker { settings, requests, notices, health, inbox: Inbox::new(), restarted: None };
    let mut failures = 0_u32;
    loop {
        let opened = tokio::select! {
            () = refuse(&mut worker.requests, &worker.health) => return,
            opened = Device::open(&worker.settings) => opened,
        };
        let since = Instant::now();
        match opened {
            Ok((mut device, _)) => match worker.serve(&mut device).await {
                Ok(()) => return,
                Err(error) => worker.is_down(Some(&mut device), &error).await,
            },
            Err((mut device, error)) => worker.is_down(device.as_mut(), &error).await,
        }
        failures = if since.elapsed() >= STEADY { 0 } else { failures };
        let (first, most) = worker.settings.reopen_after;
        let wait = first.saturating_mul(2_u32.saturating_pow(failures)).min(most);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = refuse(&mut worker.requests, &worker.health) => return,
            () = sleep(wait) => {}
        }
    }
}

/// Without a modem nothing leaves. Ends when nobody is left who could ask.
async fn refuse(requests: &mut mpsc::Receiver<Request>, health: &watch::Sender<Health>) {
    while let Some(request) = requests.recv().await {
        let why = health.borrow().why_down.clone().unwrap_or_else(|| "the modem is not open yet".to_owned());
        let _ = request.to.send(Sending::Refused { why, permanent: false });
    }
}

impl Worker {
    /// Until nobody is left who could ask: `Ok`; or the modem cannot be used any more.
    async fn serve(&mut self, device: &mut Device) -> Result<(), DeviceError> {
        let health = device.health().await?;
        self.is_healthy(health);
        self.tell(Notice::Up);
        let mut polls = interval(self.settings.poll_every);
        let mut checks = interval(self.settings.health_every);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one passes at once, and we know.
        checks.tick().await;
        loop {
            let done = tokio::select! {
                request = self.requests.recv() => match request {
                    None => return Ok(()),
                    Some(request) => self.send(device, request).await,
                },
                said = device.listen() => match said {
                    Ok(said) => self.hear(device, said).await,
                    Err(gone) => Err(gone.into()),
                },
                () = self.inbox.hear() => self.empty(device).await,
                _ = polls.tick() => self.empty(device).await,
                _ = checks.tick() => self.check(device).await,
            };
            self.still_there(device, done).await?;
            while let Some(said) = device.unsolicited() {
                let done = self.hear(device, said).await;
                self.still_there(device, done).await?;
            }
        }
    }

    /// A modem that was late once is no other one; it is another matter if it answers nothing, or has restarted.
    async fn still_there(&mut self, device: &mut Device, done: Result<(), DeviceError>) -> Result<(), DeviceError> {
        match done {
            Err(DeviceError::At(late @ AtError::TimedOut { .. })) => {
                tracing::warn!("modem: {late}");
                device.answers().await?;
                // It may have said nothing because it was restarting: then it knows nothing of what we set, and
                // would take a PDU for a text.
                self.check(device).await
            }
            Err(DeviceError::At(AtError::Refused(refusal))) => {
                tracing::warn!("modem: {refusal}");
                Ok(())
            }
            other => other,
        }
    }

    async fn send(&mut self, device: &mut Device, Request { pdu, to }: Request) -> Result<(), DeviceError> {
        if to.is_closed() {
            return Ok(());
        }
        let (sending, error) = match device.submit(&pdu).await {
            Submission::Sent { reference } => (Sending::Sent { reference }, None),
            Submission::Refused { why, permanent } => (Sending::Refused { why: why.to_string(), permanent }, Some(why)),
            Submission::Unknown { why } => (Sending::Unknown { why: why.to_string() }, Some(why)),
        };
        // Whoever waits is told before anybody hears what became of it.
        let _ = to.send(sending);
        match error {
            None => Ok(()),
            Some(AtError::Refused(refusal)) if refusal.is_full() => self.empty(device).await,
            // Said to whoever asked.
            Some(AtError::Refused(_)) => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    async fn hear(&mut self, device: &mut Device, said: Unsolicited) -> Result<(), DeviceError> {
        match said {
            Unsolicited::Stored { memory } => {
                device.stores_in(&memory);
                self.empty(device).await
            }
            Unsolicited::Direct(pdu) => {
                if !self.tell(arrived(pdu, Stored::nowhere())) {
                    tracing::error!("modem: a message or status report was lost, as nobody takes notices");
                }
                Ok(device.acknowledge().await?)
            }
            Unsolicited::Registration => self.check(device).await,
            Unsolicited::Other(line) => {
                tracing::trace!(line, "modem: said unasked");
                Ok(())
            }
        }
    }

    /// Hands over what has arrived, deletes what is stored, and what the modem keeps of what was sent.
    async fn empty(&mut self, device: &mut Device) -> Result<(), DeviceError> {
        let mut left = Vec::new();
        for memory in device.memories() {
            for listed in device.list(&memory).await? {
                let todo = match listed.kind {
                    // Somebody's, and in nobody's way until somebody says so.
                    Listing::Draft => continue,
                    Listing::Sent => Todo::Delete,
                    Listing::Received => self.inbox.todo(&listed.pdu),
                };
                match todo {
                    // Not taken it is dropped, and handed over the next time.
                    Todo::HandOver(stored) => {
                        self.tell(arrived(listed.pdu.clone(), stored));
                    }
                    Todo::Wait => {}
                    Todo::Delete => {
                        if device.delete(listed.index).await? {
                            continue;
                        }
                    }
                }
                left.push(listed.pdu);
            }
        }
        self.inbox.holds(&left);
        Ok(())
    }

    async fn check(&mut self, device: &mut Device) -> Result<(), DeviceError> {
        let health = device.health().await?;
        self.is_healthy(health);
        Ok(())
    }

    fn is_healthy(&self, health: Health) {
        if *self.health.borrow() != health {
            self.health.send_replace(health.clone());
            self.tell(Notice::Health(Box::new(health)));
        }
    }

    async fn is_down(&mut self, device: Option<&mut Device>, error: &DeviceError) {
        let why = error.to_string();
        let identity = device.as_ref().map(|device| device.identity().clone());
        let is_news = self.health.borrow().why_down.as_ref() != Some(&why);
        self.health.send_modify(|health| {
            let sim = match error {
                DeviceError::Sim(sim, _) => sim.clone(),
                _ => super::Sim::Unknown,
            };
            let identity = identity.unwrap_or_default();
            *health = Health { why_down: Some(why.clone()), sim, identity, ..Health::default() };
        });
        if is_news {
            self.tell(Notice::Down { why });
        }
        // One that says nothing at all is restarted, now and then.
        if let (DeviceError::At(AtError::TimedOut { .. }), Some(device)) = (error, device)
            && self.restarted.is_none_or(|restarted| restarted.elapsed() >= RESTART_EVERY)
        {
            self.restarted = Some(Instant::now());
            device.wake().await;
        }
    }

    /// Whether somebody takes it.
    fn tell(&self, notice: Notice) -> bool {
        self.notices.try_send(notice).is_ok()
    }
}

fn arrived(pdu: Pdu, stored: Stored) -> Notice {
    match Incoming::decode(&pdu) {
        Ok(Incoming::Deliver(deliver)) => Notice::Arrived { deliver: Box::new(deliver), stored },
        Ok(Incoming::Report(report)) => Notice::Report { report: Box::new(report), stored },
        Err(error) => Notice::Unreadable { pdu, why: error.to_string(), stored },
    }
}
