//! WHOSE TURN IT IS: who has the fewest calls up comes first, so that a storm under one policy holds up no other.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    hash::Hash,
};

/// A call that waits, when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<C> {
    /// The call.
    pub call: C,
    /// Whether it is the only one of its policy, once it is placed.
    pub first: bool,
}

/// The order in which calls that wait are placed: a call of the policy with the fewest calls up, those placed
/// before it counted; of several such policies, of the one that has waited longest. `waiting` are calls and their
/// policies, the oldest first; `up` is how many each policy has on the line.
#[must_use]
pub fn in_turn<C: Copy, P: Eq + Hash + Clone>(waiting: &[(C, P)], up: &HashMap<P, u32>) -> Vec<Turn<C>> {
    let mut queues: HashMap<&P, VecDeque<(usize, C)>> = HashMap::new();
    for (age, (call, policy)) in waiting.iter().enumerate() {
        queues.entry(policy).or_default().push_back((age, *call));
    }
    // Nothing but ages decides between equals: the order of a map is nobody's.
    let mut queues: Vec<(u32, VecDeque<(usize, C)>)> =
        queues.into_iter().map(|(policy, queue)| (up.get(policy).copied().unwrap_or(0), queue)).collect();
    let place = |nth: usize, (calls, queue): &(u32, VecDeque<(usize, C)>)| {
        queue.front().map(|(age, _)| Reverse((*calls, *age, nth)))
    };
    let mut next: BinaryHeap<_> = queues.iter().enumerate().filter_map(|(nth, queue)| place(nth, queue)).collect();
    let mut turns = Vec::with_capacity(waiting.len());
    while let Some(Reverse((calls, _, nth))) = next.pop() {
        let Some((_, call)) = queues[nth].1.pop_front() else { continue };
        turns.push(Turn { call, first: calls == 0 });
        queues[nth].0 = calls.saturating_add(1);
        next.extend(place(nth, &queues[nth]));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(waiting: &[(u32, &str)], up: &[(&str, u32)]) -> Vec<u32> {
        let up = up.iter().map(|(policy, calls)| ((*policy).to_owned(), *calls)).collect();
        let waiting: Vec<_> = waiting.iter().map(|(call, policy)| (*call, (*policy).to_owned())).collect();
        in_turn(&waiting, &up).into_iter().map(|turn| turn.call).collect()
    }

    #[test]
    fn of_one_policy_the_oldest_comes_first() {
        assert_eq!(order(&[(1, "a"), (2, "a"), (3, "a")], &[("a", 7)]), [1, 2, 3]);
    }

    #[test]
    fn a_storm_lets_others_pass() {
        let mut waiting: Vec<(u32, &str)> = (0..1000).map(|n| (n, "storm")).collect();
        waiting.extend([(1000, "other"), (1001, "other"), (1002, "third")]);
        assert_eq!(order(&waiting, &[("storm", 5)])[..4], [1000, 1002, 1001, 0]);
        assert_eq!(order(&waiting, &[])[..5], [0, 1000, 1002, 1, 1001]);
        assert_eq!(order(&waiting, &[]).len(), 1003);
    }

    #[test]
    fn the_first_of_a_policy_is_known_as_such() {
        let waiting = [(1, "a"), (2, "a"), (3, "b")];
        let turns = in_turn(&waiting, &[("b", 1)].into());
        let firsts: Vec<_> = turns.iter().map(|turn| (turn.call, turn.first)).collect();
        assert_eq!(firsts, [(1, true), (2, false), (3, false)]);
    }
}
