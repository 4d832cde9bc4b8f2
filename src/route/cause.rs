//! From cause to consequence: what a call's end says about the person and about the route.
//!
//! Classified by the SIP status where Asterisk reports one (`TechCause`), else by the Q.850 hangup
//! cause and `DialStatus`; never by `OriginateResponse`'s `Reason` alone, which says 0 for busy,
//! rejected and congested alike.

/// What was seen of a call, in whatever order it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The far end answered.
    pub answered: bool,
    /// The far end rang, or sent progress: somebody's telephone network took the call.
    pub rang: bool,
    /// There was a channel at all.
    pub channel: bool,
    /// We hung up before it was answered, since nobody needs the call any more.
    pub canceled: bool,
    /// Asterisk gave up waiting for an answer (`OriginateResponse` with `Reason` 3).
    pub timed_out: bool,
    /// The Q.850 hangup cause; 0 is none.
    pub cause: u16,
    /// The SIP status of the final answer.
    pub sip_status: Option<u16>,
    /// `DialStatus` of `DialEnd`.
    pub dial_status: Option<String>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was answered; what was heard is the AGI session's to tell.
    Answered,
    /// The line was engaged.
    Busy,
    /// It rang, and nobody came.
    NoAnswer,
    /// The person declined.
    Rejected,
    /// There is no such number.
    NumberWrong,
    /// No route took it: nobody's phone rang.
    RouteFailed,
    /// We gave it up.
    Canceled,
}

impl Ending {
    /// Whether somebody's telephone could have rung, so that the attempt counts.
    #[must_use]
    pub fn found_route(self) -> bool {
        !matches!(self, Self::RouteFailed | Self::Canceled)
    }

    /// Whether the contact's next number should be tried in the same attempt.
    #[must_use]
    pub fn try_next_number(self) -> bool {
        matches!(self, Self::Busy | Self::NoAnswer | Self::Rejected | Self::NumberWrong)
    }

    /// Asterisk's disposition.
    #[must_use]
    pub fn disposition(self, cause: u16) -> &'static str {
        match self {
            Self::Answered => "ANSWERED",
            Self::Busy => "BUSY",
            Self::NoAnswer | Self::Canceled => "NO ANSWER",
            Self::RouteFailed if matches!(cause, 34 | 42) => "CONGESTION",
            Self::Rejected | Self::NumberWrong | Self::RouteFailed => "FAILED",
        }
    }
}

/// What the end of a call means.
#[must_use]
pub fn classify(seen: &Seen) -> Ending {
    if seen.answered {
        return Ending::Answered;
    }
    if seen.canceled {
        return Ending::Canceled;
    }
    if seen.timed_out {
        // Asterisk cancels the call itself then, and reports a 480 of its own making. A far end that
        // sent neither ringing nor progress in all that time is a trunk that swallows calls: with
        // SIP's usual timers (RFC 3261, 32 s) a dead one looks just like this.
        return if seen.rang { Ending::NoAnswer } else { Ending::RouteFailed };
    }
    match seen.sip_status {
        Some(486 | 600) => return Ending::Busy,
        Some(480) => return Ending::NoAnswer,
        Some(603) => return Ending::Rejected,
        Some(404 | 410 | 484) => return Ending::NumberWrong,
        Some(408) if seen.rang => return Ending::NoAnswer,
        Some(401 | 402 | 403 | 407 | 408 | 500..=599) => return Ending::RouteFailed,
        _ => {}
    }
    match (seen.cause, seen.dial_status.as_deref()) {
        (17, _) => Ending::Busy,
        (19 | 20, _) => Ending::NoAnswer,
        (18, _) if seen.rang => Ending::NoAnswer,
        (21, _) => Ending::Rejected,
        (1 | 28, _) => Ending::NumberWrong,
        (0 | 16, Some("BUSY")) => Ending::Busy,
        (0 | 16, Some("NOANSWER")) if seen.rang => Ending::NoAnswer,
        _ => Ending::RouteFailed,
    }
}

/// The words of a Q.850 hangup cause (ITU-T Q.850, table 1; 0 is Asterisk's own "none").
#[must_use]
pub fn words(cause: u16) -> &'static str {
    match cause {
        0 => "no cause given",
        1 => "unallocated number",
        2 => "no route to transit network",
        3 => "no route to destination",
        16 => "normal clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        26 => "non-selected user clearing",
        27 => "destination out of order",
        28 => "invalid number format",
        29 => "facility rejected",
        31 => "normal, unspecified",
        34 => "no circuit or channel available",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "switching equipment congestion",
        44 => "requested circuit or channel not available",
        50 => "requested facility not subscribed",
        57 => "bearer capability not authorized",
        58 => "bearer capability not presently available",
        65 => "bearer capability not implemented",
        88 => "incompatible destination",
        102 => "recovery on timer expiry",
        111 => "protocol error, unspecified",
        127 => "interworking, unspecified",
        _ => "other cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cause: u16, sip_status: Option<u16>) -> Seen {
        Seen { channel: true, cause, sip_status, ..Seen::default() }
    }

    #[test]
    fn the_sip_status_tells_what_the_q850_cause_folds_together() {
        // 403 (the trunk refuses) and 603 (the person declines) are both cause 21.
        assert_eq!(classify(&seen(21, Some(403))), Ending::RouteFailed);
        assert_eq!(classify(&seen(21, Some(603))), Ending::Rejected);
        assert_eq!(classify(&seen(21, None)), Ending::Rejected);
    }

    #[test]
    fn every_status_and_cause_has_its_consequence() {
        use Ending::{Busy, NoAnswer, NumberWrong, Rejected, RouteFailed};
        for (status, ending) in [
            (486, Busy),
            (600, Busy),
            (480, NoAnswer),
            (603, Rejected),
            (404, NumberWrong),
            (410, NumberWrong),
            (484, NumberWrong),
            (401, RouteFailed),
            (402, RouteFailed),
            (403, RouteFailed),
            (407, RouteFailed),
            (408, RouteFailed),
            (500, RouteFailed),
            (502, RouteFailed),
            (503, RouteFailed),
        ] {
            assert_eq!(classify(&seen(0, Some(status))), ending, "SIP {status}");
        }
        for (cause, ending) in [
            (17, Busy),
            (19, NoAnswer),
            (20, NoAnswer),
            (18, RouteFailed),
            (21, Rejected),
            (1, NumberWrong),
            (28, NumberWrong),
            (27, RouteFailed),
            (34, RouteFailed),
            (38, RouteFailed),
            (41, RouteFailed),
            (42, RouteFailed),
            (44, RouteFailed),
            (0, RouteFailed),
            (3, RouteFailed),
        ] {
            assert_eq!(classify(&seen(cause, None)), ending, "cause {cause}");
        }
    }

    #[test]
    fn what_rang_went_unanswered_and_what_did_not_ring_found_no_route() {
        assert_eq!(classify(&Seen { rang: true, ..seen(18, Some(408)) }), Ending::NoAnswer);
        assert_eq!(classify(&Seen { rang: true, ..seen(18, None) }), Ending::NoAnswer);
        assert_eq!(classify(&Seen { rang: true, timed_out: true, ..seen(19, Some(480)) }), Ending::NoAnswer);
        assert_eq!(classify(&Seen { timed_out: true, ..seen(19, Some(480)) }), Ending::RouteFailed);
        assert_eq!(classify(&Seen::default()), Ending::RouteFailed);
    }

    #[test]
    fn a_local_channel_tells_by_its_dial_status() {
        let busy = Seen { dial_status: Some("BUSY".into()), ..seen(0, None) };
        assert_eq!(classify(&busy), Ending::Busy);
    }

    #[test]
    fn a_dial_status_counts_only_where_the_cause_says_nothing() {
        use Ending::{Busy, NoAnswer, RouteFailed};
        for (cause, dial_status, rang, ending) in [
            (0, "BUSY", false, Busy),
            (16, "BUSY", false, Busy),
            (34, "BUSY", false, RouteFailed),
            (0, "NOANSWER", true, NoAnswer),
            (16, "NOANSWER", true, NoAnswer),
            (0, "NOANSWER", false, RouteFailed),
            (38, "NOANSWER", true, RouteFailed),
            (16, "CONGESTION", true, RouteFailed),
            (0, "CHANUNAVAIL", false, RouteFailed),
        ] {
            let seen = Seen { rang, dial_status: Some(dial_status.into()), ..seen(cause, None) };
            assert_eq!(classify(&seen), ending, "cause {cause}, {dial_status}, rang: {rang}");
        }
    }

    #[test]
    fn a_refusal_of_the_trunk_stands_against_every_cause() {
        for status in [401, 402, 403, 407, 408, 500, 503, 599] {
            for cause in [1, 17, 19, 21] {
                assert_eq!(classify(&seen(cause, Some(status))), Ending::RouteFailed, "SIP {status}, cause {cause}");
            }
        }
        // A status that says nothing by itself leaves it to the cause.
        for status in [100, 183, 487, 499] {
            assert_eq!(classify(&seen(17, Some(status))), Ending::Busy, "SIP {status}");
        }
    }

    #[test]
    fn an_answer_stands_whatever_came_after_it() {
        assert_eq!(classify(&Seen { answered: true, canceled: true, ..seen(17, Some(486)) }), Ending::Answered);
        assert_eq!(classify(&Seen { canceled: true, ..seen(17, Some(486)) }), Ending::Canceled);
    }

    #[test]
    fn an_outage_is_not_an_attempt_and_a_refusal_is_not_redialled_elsewhere() {
        use Ending::{Answered, Busy, Canceled, NoAnswer, NumberWrong, Rejected, RouteFailed};
        for (ending, found_route, try_next_number, disposition) in [
            (Answered, true, false, "ANSWERED"),
            (Busy, true, true, "BUSY"),
            (NoAnswer, true, true, "NO ANSWER"),
            (Rejected, true, true, "FAILED"),
            (NumberWrong, true, true, "FAILED"),
            (RouteFailed, false, false, "FAILED"),
            (Canceled, false, false, "NO ANSWER"),
        ] {
            assert_eq!(ending.found_route(), found_route, "{ending:?}");
            assert_eq!(ending.try_next_number(), try_next_number, "{ending:?}");
            assert_eq!(ending.disposition(0), disposition, "{ending:?}");
        }
        for congested in [34, 42] {
            assert_eq!(RouteFailed.disposition(congested), "CONGESTION");
            assert_eq!(Rejected.disposition(congested), "FAILED");
        }
    }

    /// As ITU-T Q.850 names them.
    #[test]
    fn every_cause_that_networks_send_has_its_words() {
        for (cause, meaning) in [
            (0, "no cause given"),
            (1, "unallocated number"),
            (2, "no route to transit network"),
            (3, "no route to destination"),
            (16, "normal clearing"),
            (17, "user busy"),
            (18, "no user responding"),
            (19, "no answer from user"),
            (20, "subscriber absent"),
            (21, "call rejected"),
            (22, "number changed"),
            (26, "non-selected user clearing"),
            (27, "destination out of order"),
            (28, "invalid number format"),
            (29, "facility rejected"),
            (31, "normal, unspecified"),
            (34, "no circuit or channel available"),
            (38, "network out of order"),
            (41, "temporary failure"),
            (42, "switching equipment congestion"),
            (44, "requested circuit or channel not available"),
            (50, "requested facility not subscribed"),
            (57, "bearer capability not authorized"),
            (58, "bearer capability not presently available"),
            (65, "bearer capability not implemented"),
            (88, "incompatible destination"),
            (102, "recovery on timer expiry"),
            (111, "protocol error, unspecified"),
            (127, "interworking, unspecified"),
            (4, "other cause"),
            (999, "other cause"),
        ] {
            assert_eq!(words(cause), meaning, "cause {cause}");
        }
    }
}
