//! Whose calls are whose, where several servers share a database: a server follows its own, and those of
//! a server that is seen to live no longer.
//!
//! Whether another server lives is told by its counter: as long as that grows. How long it has stood still
//! is measured by our own steady clock, so that no two clocks need to agree.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::Clock,
    store::{self, Node, Store},
};

/// How often a server says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// After so long without a sign of it a server's calls are taken over.
const LEASE: Duration = Duration::from_secs(30);

/// This server among the others. Cheap to clone.
#[derive(Clone)]
pub(super) struct Heart {
    own: Arc<str>,
    instance: Uuid,
    nodes: Arc<Mutex<Nodes>>,
}

/// What is known of the servers.
#[derive(Debug)]
struct Nodes {
    own: Arc<str>,
    standing: Standing,
    /// How often each has beaten, and when that was seen to change.
    seen: HashMap<String, (i64, Instant)>,
}

/// Whether this server has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet.
    New,
    /// It has, and said so last at this instant.
    Known(Instant),
    /// Another one has taken it.
    Replaced,
}

/// Why a server may place no calls and take none over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Barred {
    #[error("this server has not yet said to the database that it lives")]
    Unknown,
    #[error("another server runs under the name of this one (server.node)")]
    Replaced,
}

impl Heart {
    /// `own` is the name of this server, `instance` made anew at each start.
    pub(super) fn new(own: &str, instance: Uuid) -> Self {
        let own: Arc<str> = own.into();
        let nodes = Arc::new(Mutex::new(Nodes::new(Arc::clone(&own))));
        Self { own, instance, nodes }
    }

    /// Beats until `shutdown`. Beside the dialer: a database that takes its time must not hold up calls.
    pub(super) async fn run(self, store: Store, clock: Clock, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.beat(&store, &clock).await {
                tracing::error!(%error, "this server cannot say that it lives; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn beat(&self, store: &Store, clock: &Clock) -> Result<(), store::Error> {
        let is_new = self.nodes().standing == Standing::New;
        if is_new {
            store.take_node(&self.own, self.instance, clock.now()).await?;
        }
        let known = is_new || store.node_beats(&self.own, self.instance, clock.now()).await?;
        let others = store.nodes().await?;
        let mut nodes = self.nodes();
        if known {
            nodes.standing = Standing::Known(Instant::now());
        } else {
            nodes.standing = Standing::Replaced;
            tracing::error!(node = %self.own, "another server runs under the name of this one (server.node): this one places no calls");
        }
        nodes.look(others, Instant::now());
        Ok(())
    }

    /// The name of this server.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Whether this server may place calls and take calls over.
    pub(super) fn barred(&self) -> Option<Barred> {
        self.nodes().barred(Instant::now())
    }

    /// Whether a call of this server is ours to follow.
    pub(super) fn follows(&self, node: Option<&str>) -> bool {
        self.nodes().follows(node, Instant::now())
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    fn new(own: Arc<str>) -> Self {
        Self { own, standing: Standing::New, seen: HashMap::new() }
    }

    fn barred(&self, now: Instant) -> Option<Barred> {
        match self.standing {
            // Long before others take over what it has placed it places nothing.
            Standing::Known(at) if now - at < LEASE / 2 => None,
            Standing::New | Standing::Known(_) => Some(Barred::Unknown),
            Standing::Replaced => Some(Barred::Replaced),
        }
    }

    /// All servers, as they are at `now`.
    fn look(&mut self, nodes: Vec<Node>, now: Instant) {
        let mut seen = HashMap::with_capacity(nodes.len());
        for node in nodes {
            let before = self.seen.get(&node.name).filter(|(beats, _)| *beats == node.beats);
            seen.insert(node.name, (node.beats, before.map_or(now, |(_, since)| *since)));
        }
        self.seen = seen;
    }

    /// Whether a call of this server is ours to follow.
    fn follows(&self, node: Option<&str>, now: Instant) -> bool {
        match node {
            // Those under its name are the other one's now.
            _ if self.standing == Standing::Replaced => false,
            Some(node) if *node == *self.own => true,
            // Nobody has been looked for yet: they may all live.
            _ if self.standing == Standing::New => false,
            None => true,
            Some(node) => self.seen.get(node).is_none_or(|(_, since)| now - *since >= LEASE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, beats: i64) -> Node {
        Node { name: name.into(), beats }
    }

    #[test]
    fn a_server_follows_its_own_calls_and_those_of_the_dead() {
        let begin = Instant::now();
        let mut nodes = Nodes::new("a".into());
        assert!(nodes.follows(Some("a"), begin));
        assert!(!nodes.follows(Some("b"), begin), "it has not been looked for");
        assert!(!nodes.follows(None, begin));
        nodes.standing = Standing::Known(begin);
        nodes.look(vec![node("a", 1), node("b", 7)], begin);
        let follows = |nodes: &Nodes, name, after| nodes.follows(name, begin + after);
        assert!(follows(&nodes, Some("a"), Duration::ZERO));
        assert!(follows(&nodes, None, Duration::ZERO), "nobody's");
        assert!(follows(&nodes, Some("gone"), Duration::ZERO), "forgotten");
        assert!(!follows(&nodes, Some("b"), LEASE - BEAT));
        assert!(follows(&nodes, Some("b"), LEASE));
        // A look that shows the same says nothing new.
        nodes.look(vec![node("a", 2), node("b", 7)], begin + BEAT);
        assert!(follows(&nodes, Some("b"), LEASE));
        // It lives after all, or was started again.
        nodes.look(vec![node("a", 3), node("b", 8)], begin + LEASE);
        assert!(!follows(&nodes, Some("b"), LEASE));
        assert!(!follows(&nodes, Some("b"), LEASE + LEASE - BEAT));
        assert!(follows(&nodes, Some("b"), LEASE + LEASE));
    }

    #[test]
    fn a_server_places_calls_while_the_database_knows_it_and_nobody_else_has_its_name() {
        let begin = Instant::now();
        let mut nodes = Nodes::new("a".into());
        assert_eq!(nodes.barred(begin), Some(Barred::Unknown));
        nodes.standing = Standing::Known(begin);
        assert_eq!(nodes.barred(begin + BEAT + BEAT), None);
        assert_eq!(nodes.barred(begin + LEASE / 2), Some(Barred::Unknown));
        assert!(nodes.follows(Some("a"), begin));
        nodes.standing = Standing::Replaced;
        assert_eq!(nodes.barred(begin), Some(Barred::Replaced));
        assert!(!nodes.follows(Some("a"), begin) && !nodes.follows(None, begin));
    }
}
