//! Which of several ways out sends a text. Pure.

/// Which way sends what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first one that works; the one after it, if it did not take the text.
    Failover,
    /// All that work, side by side.
    RoundRobin,
}

impl Order {
    /// Whether the way of this place sends a text that `refused` did not take, if one did. `up` are the ways
    /// that work.
    pub(super) fn chooses(self, place: usize, up: &[bool], refused: Option<usize>) -> bool {
        let works = |place: usize| up.get(place).copied().unwrap_or(false);
        let another = (0..up.len()).any(|other| works(other) && Some(other) != refused);
        match self {
            Self::RoundRobin => works(place) && (Some(place) != refused || !another),
            Self::Failover => {
                let after = refused.map_or(0, |refused| refused + 1);
                let first = (0..up.len()).map(|step| (after + step) % up.len()).find(|place| works(*place));
                first == Some(place)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(order: Order, up: &[bool], refused: Option<usize>) -> Vec<usize> {
        (0..up.len()).filter(|place| order.chooses(*place, up, refused)).collect()
    }

    #[test]
    fn the_first_that_works_sends_and_after_a_refusal_the_next() {
        let sends = |up: &[bool], refused| chosen(Order::Failover, up, refused);
        assert_eq!(sends(&[true, true, true], None), [0]);
        assert_eq!(sends(&[false, true, true], None), [1]);
        assert_eq!(sends(&[true, true, true], Some(0)), [1]);
        assert_eq!(sends(&[true, false, true], Some(0)), [2]);
        assert_eq!(sends(&[true, true, true], Some(2)), [0], "round again");
        assert_eq!(sends(&[true, false], Some(0)), [0], "there is no other");
        assert_eq!(sends(&[false, false], None), Vec::<usize>::new());
        assert_eq!(sends(&[], None), Vec::<usize>::new());
    }

    #[test]
    fn side_by_side_all_that_work_send_but_for_the_one_that_refused() {
        let send = |up: &[bool], refused| chosen(Order::RoundRobin, up, refused);
        assert_eq!(send(&[true, true, false], None), [0, 1]);
        assert_eq!(send(&[true, true, false], Some(1)), [0]);
        assert_eq!(send(&[false, true], Some(1)), [1], "there is no other");
        assert_eq!(send(&[false, true], Some(0)), [1]);
    }
}
