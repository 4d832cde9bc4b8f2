//! The telephones of a story, and the calls on them.

use std::time::Duration;

use lab::{phone::Incoming, sound};
use ringdown::script::{Alert, Line, speakable};

use super::{Harness, or_panic};

/// From a decision to the ringing of a phone.
const RINGS: Duration = Duration::from_secs(10);
/// From a word of ours to the other side's next step.
const SOON: Duration = Duration::from_secs(10);

/// A telephone.
#[derive(Clone, Copy)]
pub struct Handset<'h> {
    pub(super) h: &'h Harness,
    pub(super) number: &'h str,
}

/// A call to it that the story knows of.
pub struct OnPhone<'h> {
    phone: Handset<'h>,
    nth: usize,
}

impl<'h> Handset<'h> {
    /// From now on it does this by itself when it is called; the words are those of
    /// `lab/asterisk/net/extensions.conf`.
    pub async fn does(&self, program: &str) {
        or_panic(self.phone().program(program).await);
    }

    /// A call comes, which the story did not know of yet.
    pub async fn rings(&self) -> OnPhone<'h> {
        self.rings_within(RINGS).await
    }

    /// A call comes, after a delay perhaps.
    pub async fn rings_within(&self, within: Duration) -> OnPhone<'h> {
        let nth = self.h.told().calls.get(self.number).copied().unwrap_or_default();
        or_panic(self.phone().call(nth, within).await);
        *self.h.told().calls.entry(self.number.to_owned()).or_default() += 1;
        OnPhone { phone: *self, nth }
    }

    fn phone(&self) -> lab::phone::Phone<'h> {
        self.h.telephony.net.phone(self.number)
    }
}

impl OnPhone<'_> {
    /// It is picked up.
    pub async fn answers(&self) {
        or_panic(self.phone.phone().answer().await);
    }

    /// The alert of this story that has these words is heard, whole.
    pub async fn hears(&self, words: &str) {
        let (severity, summary) = self
            .phone
            .h
            .told()
            .alerts
            .iter()
            .find(|(_, summary)| speakable(summary).contains(&speakable(words)))
            .cloned()
            .unwrap_or_else(|| panic!("the story raised nothing with the words {words:?}"));
        let alert = Alert { nth: 1, of: 1, severity: &severity, summary: &summary, ..Alert::default() };
        self.hears_line(&Line::Alert(alert)).await;
    }

    /// A line of the script is heard, whole.
    pub async fn hears_line(&self, line: &Line<'_>) {
        let sound = or_panic(self.phone.h.voice.line(line).await);
        let within = sound.duration() + SOON;
        or_panic(self.phone.phone().hears(self.nth, &sound, within).await);
    }

    /// A key is pressed.
    pub async fn presses(&self, key: char) {
        or_panic(self.phone.phone().press(key).await);
    }

    /// It is declined (603).
    pub async fn declines(&self) {
        or_panic(self.phone.phone().go_on("decline").await);
    }

    /// It is hung up.
    pub async fn hangs_up(&self) {
        or_panic(self.phone.phone().hang_up().await);
    }

    /// The call ends, by whosever hand; the hangup cause.
    pub async fn ends(&self) -> u16 {
        let nth = self.seen().nth;
        let end = self.phone.h.telephony.net.wait("the call ends", SOON, |calls| calls[nth].ended).await;
        or_panic(end).1
    }

    /// How long after the answer there was sound.
    pub fn first_word(&self) -> Duration {
        sound::first_word(&or_panic(self.seen().heard())).expect("something was heard")
    }

    /// The call as the telephone saw it.
    pub fn seen(&self) -> Incoming {
        self.phone.phone().calls().swap_remove(self.nth)
    }
}
