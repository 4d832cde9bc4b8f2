//! One lane at work: what is due, one after the other.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::Notifier;
use crate::{
    id,
    store::{Delivery, Error},
    webhook::Letter,
};

/// Deliveries that are looked up at once.
const PAGE: u64 = 100;
/// The longest pause between two tries.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// How long a delivery of a disabled webhook waits before it is looked at again.
const DISABLED: TimeDelta = TimeDelta::minutes(1);

impl Notifier {
    /// Delivers what is due in this lane. Returns its name.
    pub(super) async fn work(self, lane: String, shutdown: CancellationToken) -> String {
        if let Err(error) = self.work_off(&lane, &shutdown).await {
            tracing::error!(lane, %error, "deliveries are held up; trying again");
            tokio::time::sleep(super::POLL).await;
        }
        lane
    }

    /// Delivers what is due in `lane`, until nothing is.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn work_off(&self, lane: &str, shutdown: &CancellationToken) -> Result<(), Error> {
        loop {
            let due = self.store.due_deliveries(lane, self.clock.now(), PAGE).await?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in due {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                self.deliver(&delivery).await?;
            }
        }
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Error> {
        let now = self.clock.now();
        let Some((url, secret)) = self.receiver(delivery).await? else {
            return self.store.put_off_delivery(delivery.id, now + DISABLED).await;
        };
        // Should this server die, another try is due once this one must be over.
        let lease = now + self.settings.timeout + TimeDelta::seconds(5);
        if !self.store.claim_delivery(delivery, lease).await? {
            return Ok(());
        }
        let event_id = delivery.event.to_string();
        let letter = Letter { event_id: &event_id, body: &delivery.body, secret: &secret, timestamp: now.timestamp() };
        let sent = self.sender.post(&url, letter).await;
        let now = self.clock.now();
        match sent {
            Ok(answer) => {
                metrics::counter!("ringdown_deliveries_total", "outcome" => "delivered").increment(1);
                self.store.delivered(delivery.id, answer, now).await
            }
            Err(failure) => {
                let tries = delivery.tries + 1;
                let next = (tries < self.settings.tries)
                    .then(|| now + backoff(self.settings.retry, tries, rand::random::<f64>()));
                let outcome = if next.is_some() { "failed" } else { "dead" };
                metrics::counter!("ringdown_deliveries_total", "outcome" => outcome).increment(1);
                let why = &failure.why;
                match next {
                    Some(_) => tracing::info!(delivery = %delivery.id, tries, why, "a delivery failed; trying again"),
                    None => tracing::warn!(delivery = %delivery.id, tries, why, "a delivery is given up"),
                }
                self.store.delivery_failed(delivery.id, failure.answer, failure.why, next, now).await
            }
        }
    }

    /// Where it goes and what signs it; `None` if its webhook is disabled or gone.
    async fn receiver(&self, delivery: &Delivery) -> Result<Option<(String, String)>, Error> {
        match delivery.webhook {
            Some(id) => {
                let webhook = self.store.webhook(id).await?.filter(|webhook| webhook.data.enabled);
                Ok(webhook.map(|webhook| (webhook.data.url, webhook.secret)))
            }
            None => {
                let secret = self.store.callback_secret(id::secret(), self.clock.now()).await?;
                Ok(delivery.url.clone().map(|url| (url, secret)))
            }
        }
    }
}

/// How long after the try with this number (from 1) the next one is: twice as long each time, an hour at
/// most, and by up to a quarter more or less (`jitter`, 0 to 1), so that not all come back at once.
fn backoff(first: TimeDelta, tries: u32, jitter: f64) -> TimeDelta {
    let doubled = 1_i32 << tries.saturating_sub(1).min(20);
    let base = first.checked_mul(doubled).map_or(LONGEST, |base| base.min(LONGEST));
    let quarters = (jitter.clamp(0.0, 1.0) - 0.5) / 2.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "milliseconds within an hour")]
    let shift = (base.num_milliseconds() as f64 * quarters) as i64;
    base + TimeDelta::milliseconds(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_with_a_quarter_of_chance() {
        let pause = |tries, jitter| backoff(TimeDelta::seconds(4), tries, jitter).num_milliseconds();
        assert_eq!([1, 2, 3, 10].map(|tries| pause(tries, 0.5)), [4000, 8000, 16_000, 2_048_000]);
        assert_eq!([11, 12, 40, u32::MAX].map(|tries| pause(tries, 0.5)), [3_600_000; 4]);
        assert_eq!([0.0, 1.0].map(|jitter| pause(1, jitter)), [3000, 5000]);
    }
}
