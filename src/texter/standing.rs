//! Whether a service takes texts, by what it has said. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// After a refusal that every text would meet it is left alone for so long; then twice as long each time.
const REST: TimeDelta = TimeDelta::minutes(1);
const LONGEST_REST: TimeDelta = TimeDelta::minutes(10);

/// What is known of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it has answered the last question, and why not; `None` before the first one.
    answer: Option<Result<(), String>>,
    rest: Option<Rest>,
}

/// It is given no texts for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    why: String,
    until: DateTime<Utc>,
    /// How often in a row.
    times: u32,
}

/// What it has said.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// It has answered a question.
    Answer,
    /// It has taken a text.
    Taken,
    /// It does not answer, or not so that it could be understood.
    Silence { why: String },
    /// Not now: for so long, at least.
    Busy { why: String, wait: TimeDelta },
    /// It would refuse every text.
    Refusal { why: String },
}

impl Standing {
    /// What is known after this.
    #[must_use]
    pub(super) fn after(mut self, heard: Heard, now: DateTime<Utc>) -> Self {
        let times = self.times();
        match heard {
            Heard::Answer => self.answer = Some(Ok(())),
            Heard::Taken => return Self { answer: Some(Ok(())), rest: None },
            Heard::Silence { why } => self.answer = Some(Err(why)),
            Heard::Busy { why, wait } => self.rest = Some(Rest { why, until: now + wait, times: times + 1 }),
            Heard::Refusal { why } => {
                let rest = REST * 2_i32.pow(times.min(8));
                self.rest = Some(Rest { why, until: now + rest.min(LONGEST_REST), times: times + 1 });
            }
        }
        self
    }

    /// How often in a row it has not taken what it was given.
    pub(super) fn times(&self) -> u32 {
        self.rest.as_ref().map_or(0, |rest| rest.times)
    }

    /// Whether it is given texts. After a rest it is tried with one.
    pub(super) fn is_up(&self, now: DateTime<Utc>) -> bool {
        self.answer == Some(Ok(())) && self.rest.as_ref().is_none_or(|rest| rest.until <= now)
    }

    /// How it is, in words.
    pub(super) fn detail(&self, now: DateTime<Utc>) -> String {
        match (&self.answer, &self.rest) {
            (None, _) => "was not asked yet".into(),
            (Some(Err(why)), _) => why.clone(),
            (Some(Ok(())), None) => "answers".into(),
            (Some(Ok(())), Some(rest)) if rest.until <= now => format!("is tried again; before: {}", rest.why),
            (Some(Ok(())), Some(rest)) => {
                format!("{} (tried again at {})", rest.why, rest.until.format("%H:%M:%S UTC"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn it_is_up_while_it_answers() {
        let unknown = Standing::default();
        assert!(!unknown.is_up(noon(0)), "nobody knows yet");
        let up = unknown.after(Heard::Answer, noon(0));
        assert!(up.is_up(noon(0)));
        let silent = up.after(Heard::Silence { why: "no route".into() }, noon(1));
        assert!(!silent.is_up(noon(100_000)), "only an answer shows that it is back");
        assert_eq!(silent.detail(noon(1)), "no route");
        assert!(silent.after(Heard::Answer, noon(2)).is_up(noon(2)));
    }

    #[test]
    fn after_a_refusal_that_every_text_would_meet_it_rests_longer_each_time_until_it_takes_one() {
        let refusal = || Heard::Refusal { why: "no balance".into() };
        let mut standing = Standing::default().after(Heard::Answer, noon(0));
        for rest in [60, 120, 240, 480, 600, 600] {
            standing = standing.after(refusal(), noon(0)).after(Heard::Answer, noon(1));
            assert!(!standing.is_up(noon(rest - 1)), "an answer to a question does not end a rest of {rest}");
            assert!(standing.is_up(noon(rest)), "{rest}");
        }
        assert!(standing.detail(noon(0)).starts_with("no balance (tried again at 00:10:00"));
        let well = standing.after(Heard::Taken, noon(600));
        assert!(well.is_up(noon(600)) && well.times() == 0);
        assert!(!well.after(refusal(), noon(0)).is_up(noon(59)));
    }

    #[test]
    fn whoever_is_busy_is_left_alone_for_as_long_as_it_asks() {
        let busy = Heard::Busy { why: "too many".into(), wait: TimeDelta::seconds(7) };
        let standing = Standing::default().after(Heard::Answer, noon(0)).after(busy, noon(0));
        assert!(!standing.is_up(noon(6)) && standing.is_up(noon(7)));
        assert_eq!(standing.times(), 1);
    }
}
